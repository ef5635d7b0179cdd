use strongroom::SealFields;

#[derive(SealFields)]
#[seal(deserialize)]
struct Card {
    #[secret]
    pin: u32,
}

fn main() {}
