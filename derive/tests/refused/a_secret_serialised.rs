use strongroom::{Opened, OwnedOpened, SealFields, Sealed, SecretString, SecretVec, Share, Vault};

#[derive(SealFields)]
#[seal(deserialize)]
struct Login {
    #[secret]
    password: SecretString<Share>,
}

fn write(_: &impl serde::Serialize) {}

fn write_all(
    sealed: &Sealed,
    opened: &Opened<'_>,
    owned: &OwnedOpened<str>,
    text: &SecretString<&Vault>,
    bytes: &SecretVec<u8, Share>,
    login: &SealedLogin,
) {
    write(sealed);
    write(opened);
    write(owned);
    write(text);
    write(bytes);
    write(login);
    write(&login.password);
    write(&opened.expose_secret());
}

fn main() {}
