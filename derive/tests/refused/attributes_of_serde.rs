use strongroom::{SealFields, SecretString, Share};

#[derive(SealFields)]
#[seal(deserialize)]
#[serde(rename_all = "kebab-case")]
struct Renamed {
    #[secret]
    password: SecretString<Share>,
}

#[derive(SealFields)]
#[seal(deserialize)]
struct Skipped {
    #[serde(skip)]
    user: String,
    #[secret]
    password: SecretString<Share>,
}

#[derive(SealFields)]
#[seal(deserialize)]
struct Defaulted {
    #[serde(default)]
    #[secret]
    password: SecretString<Share>,
}

#[derive(SealFields)]
#[seal(deserialize)]
struct Twice {
    #[serde(alias = "password")]
    user: String,
    #[secret]
    password: SecretString<Share>,
}

fn main() {}
