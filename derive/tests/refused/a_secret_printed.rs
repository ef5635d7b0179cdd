use strongroom::{Opened, SecretString, Vault};

fn print(secret: &Opened<'_, str>, text: &SecretString<&Vault>) {
    println!("{secret} {text}");
    println!("{}", secret.expose_secret());
}

fn main() {}
