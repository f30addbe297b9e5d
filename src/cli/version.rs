//! `version`.

use super::Ended;
use super::args::{Output, VersionArgs};
use crate::run::Tool;

/// Which program, at which version, from which file.
pub(super) fn run(arguments: &VersionArgs, tool: &Tool) -> Ended {
    match (arguments.output, arguments.short) {
        (Output::Json, _) => Ended::Document(serde_json::json!({
            "schema": "helm-sigstore.version/v1",
            "tool": tool,
        })),
        (Output::Text, true) => Ended::Text(format!("{}\n", tool.version)),
        (Output::Text, false) => Ended::Text(format!("{} {}\n", tool.name, tool.version)),
    }
}
