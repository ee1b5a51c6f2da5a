//! The admin token of the one-process form: from the environment, or made at the first start and kept beside the store, so that
//! the operator's commands work on a laptop without any configuration.

use std::{
    env,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use cloudach_edge::{access::keys::KeyHash, admin::AdminApi};

use crate::{admin::TOKEN_VARIABLE, config::Config};

/// The file in the store's folder, for this user alone.
const FILE: &str = "admin-token";

/// How the admin API is entered, where there is an address for it and the configuration does not say.
///
/// # Errors
/// The token cannot be kept.
pub fn admin_api(config: &Config) -> io::Result<Option<AdminApi>> {
    if config.admin_api.is_some() || config.admin.is_none() {
        return Ok(config.admin_api.clone());
    }
    let token = match (env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty()), &config.store.path) {
        (Some(token), _) => token,
        (None, Some(folder)) => read_or_make(folder)?,
        (None, None) => return Ok(None),
    };
    Ok(Some(AdminApi { token_sha256: KeyHash::of(&token) }))
}

fn read_or_make(folder: &Path) -> io::Result<String> {
    let path = folder.join(FILE);
    match fs::read_to_string(&path) {
        Ok(token) => return Ok(token.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    fs::create_dir_all(folder)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{token}")?;
    Ok(token)
}
