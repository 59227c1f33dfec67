//! Markdown files (CommonMark with GitHub's extensions): what a document consists of, and what is wrong with it by itself.
//! Links into the repository are checked in [`super::links`], front matter against its schema in [`super::check`].

mod front_matter;
mod html;
mod outline;
mod slug;

pub(crate) use html::{MAX_HTML_BYTES, render};
pub(crate) use outline::{Document, Heading, Link};

use pulldown_cmark::Options;

/// GitHub's dialect, without what only some renderers know (heading attributes, mathematics).
const DIALECT: Options = Options::ENABLE_TABLES
    .union(Options::ENABLE_FOOTNOTES)
    .union(Options::ENABLE_STRIKETHROUGH)
    .union(Options::ENABLE_TASKLISTS)
    .union(Options::ENABLE_GFM);
