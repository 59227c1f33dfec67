//! Kafka's own command-line tools, for whoever follows instructions that name them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use crate::server::Backend;
use crate::{Kafka, native};

/// Each tool and the class that it is.
const TOOLS: [(&str, &str); 3] = [
    ("kafka-consumer-groups.sh", "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"),
    ("kafka-get-offsets.sh", "org.apache.kafka.tools.GetOffsetShell"),
    ("kafka-topics.sh", "org.apache.kafka.tools.TopicCommand"),
];

impl Kafka {
    /// Puts `kafka-consumer-groups.sh`, `kafka-get-offsets.sh` and `kafka-topics.sh` into `directory`, which is to be in a
    /// PATH: as a distribution of Kafka has them, of this broker's version.
    pub fn put_tools(&self, directory: &Path) -> Result<()> {
        for (name, class) in TOOLS {
            let run = match &self.0.backend {
                Backend::Native(_) => {
                    let jars = native::kafka_classpath()?;
                    format!("java -Xmx128m -XX:TieredStopAtLevel=1 -cp '{jars}' {class}")
                }
                Backend::Docker(project) => format!("docker exec {}-kafka-1 /opt/kafka/bin/{name}", project.name),
            };
            let path = directory.join(name);
            fs::write(&path, format!("#!/bin/sh\nexec {run} \"$@\"\n"))
                .with_context(|| format!("write {}", path.display()))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
        Ok(())
    }
}
