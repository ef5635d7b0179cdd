use strongroom::SealFields;

#[derive(SealFields)]
struct Account {
    #[secret]
    #[secret]
    token: [u8; 32],
    #[secret(really)]
    pin: u32,
}

fn main() {}
