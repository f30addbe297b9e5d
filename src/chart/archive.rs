//! stub
use super::{Digest, ChartMetadata};
use crate::error::Result;
/// stub
pub struct Archive { /// d
 pub digest: Digest, /// n
 pub name: String, /// v
 pub version: String }
impl Archive { /// r
 pub fn read(bytes: &[u8]) -> Result<Self> { let _ = ChartMetadata::from_json(bytes)?; todo!() }
 /// c
 pub fn check_file_name(&self, _: &str) -> Result<()> { Ok(()) } }
