use strongroom::SealFields;

#[derive(SealFields)]
struct Account {
    #[secret]
    token: [u8; 32],
    #[secret]
    key: [u8; 32],
}

fn exchange(account: &mut SealedAccount) {
    account.token = account.key.clone();
}

fn main() {}
