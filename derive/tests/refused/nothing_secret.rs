use strongroom::SealFields;

#[derive(SealFields)]
struct Account {
    user: String,
}

fn main() {}
