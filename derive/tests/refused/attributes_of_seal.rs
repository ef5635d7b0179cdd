use strongroom::{SealFields, SecretString, Share};

#[derive(SealFields)]
#[seal(serialize)]
struct Written {
    #[secret]
    password: SecretString<Share>,
}

#[derive(SealFields)]
#[seal(deserialize)]
struct Both {
    #[seal(nested)]
    #[secret]
    password: SecretString<Share>,
}

#[derive(SealFields)]
struct NotRead {
    #[seal(nested)]
    inner: u32,
    #[secret]
    password: SecretString<Share>,
}

#[derive(SealFields)]
#[seal(deserialize)]
struct NoTwin {
    #[seal(nested)]
    inner: u32,
}

fn main() {}
