use strongroom::{Opened, SecretString, Vault};

fn copy(secret: &Opened<'_, [u8; 32]>, text: &SecretString<&Vault>) {
    let _: Opened<'_, [u8; 32]> = secret.clone();
    let _: SecretString<&Vault> = text.clone();
}

fn main() {}
