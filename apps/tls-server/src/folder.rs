//! Certificates and keys from a folder.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use strongroom::Share;

use crate::Failure;
use crate::keys::{Keeping, KeyPair};
use crate::progress::Progress;
use crate::sites::Sites;

/// Reads every `NAME.crt` of a folder, the host's certificate first and those of intermediate authorities
/// behind it, and the key beside it, `NAME.key`.
///
/// # Errors
/// A file cannot be read, a key is missing, or is another certificate's; the file is named.
pub fn read(folder: &Path, share: &Share, keeping: &Keeping) -> Result<Sites, Failure> {
    let named = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let entries = fs::read_dir(folder).map_err(|error| named(folder, &error))?;
    let paths = entries.map(|entry| Ok(entry.map_err(|error| named(folder, &error))?.path()));
    let mut paths: Vec<PathBuf> = paths.collect::<Result<_, Failure>>()?;
    paths.retain(|path| path.extension() == Some(OsStr::new("crt")));
    if paths.is_empty() {
        return Err(named(folder, &"there is no file NAME.crt in it").into());
    }
    let progress = Progress::new("reading keys and certificates", paths.len());
    let mut sites = Sites::new();
    for path in &paths {
        let key = path.with_extension("key");
        let chain = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| named(path, &error))?;
        let pair = KeyPair::read(share, &key).map_err(|error| named(&key, &error))?;
        let name = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
        check(name, &chain, &pair).map_err(|error| named(path, &error))?;
        sites.add(name, chain, keeping.keep(&pair)?)?;
        progress.step();
    }
    Ok(sites)
}

/// Whether a certificate is for this name and this key.
fn check(name: &str, chain: &[CertificateDer<'_>], pair: &KeyPair) -> Result<(), Failure> {
    let leaf = chain.first().ok_or("there is no certificate in it")?;
    let leaf = webpki::EndEntityCert::try_from(leaf)?;
    if !leaf.subject_public_key_info().ends_with(&pair.point()) {
        return Err("it is not the certificate of the key beside it".into());
    }
    let server = rustls::pki_types::ServerName::try_from(name)?;
    Ok(leaf.verify_is_valid_for_subject_name(&server)?)
}
