use strongroom::SealFields;

#[derive(SealFields)]
enum Secret {
    Token([u8; 32]),
}

fn main() {}
