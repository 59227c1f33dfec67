//! Progress bars: on a terminal only.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Output;

/// How often a spinner turns while nothing is reported.
const TICK: Duration = Duration::from_millis(200);

/// One bar; hidden where stderr is no terminal or `--quiet` is given. Disappears when dropped.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
}

impl Bar {
    pub(super) fn new(output: &Output, label: &str, total: Option<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        // Before anything of it is drawn: until then it looks like any program's.
        bar.set_style(style(total.is_some()));
        bar.set_prefix(label.to_owned());
        if !output.shows_progress() {
            return Self { bar };
        }
        // Among the others, through which it is drawn: alone it would not be cleared for the lines that go above them.
        let bar = output.bars().add(bar);
        bar.enable_steady_tick(TICK);
        Self { bar }
    }

    /// Sets how far it is, of how much, and a remark such as a rate.
    pub fn set(&self, position: u64, total: Option<u64>, remark: String) {
        if let Some(total) = total {
            if self.bar.length() != Some(total) {
                self.bar.set_style(style(true));
            }
            self.bar.set_length(total.max(position));
        }
        self.bar.set_position(position);
        self.bar.set_message(remark);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn style(with_total: bool) -> ProgressStyle {
    let template = if with_total {
        "{prefix} [{bar:32}] {human_pos}/{human_len} {percent}% {msg} {eta}"
    } else {
        "{prefix} {spinner} {human_pos} {msg} {elapsed}"
    };
    ProgressStyle::with_template(template).expect("the template is constant and well-formed").progress_chars("=> ")
}
