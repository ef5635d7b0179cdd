use strongroom::SealFields;

#[derive(SealFields)]
struct Account<T> {
    user: T,
    #[secret]
    token: [u8; 32],
}

fn main() {}
