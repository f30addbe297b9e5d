//! `version`.

use super::Ended;
use crate::run::Tool;

/// The schema of the JSON form; `docs/version.schema.json` has it.
const SCHEMA: &str = "helm-sigstore.version/v1";

/// Which program, at which version, and in JSON from which file.
pub(super) fn answer(json: bool, short: bool, tool: &Tool) -> Ended {
    match (json, short) {
        (true, _) => Ended::Document(serde_json::json!({ "schema": SCHEMA, "tool": tool })),
        (false, true) => Ended::Text(format!("{}\n", tool.version)),
        (false, false) => Ended::Text(format!("{} {}\n", tool.name, tool.version)),
    }
}
