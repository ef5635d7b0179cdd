use strongroom::SealFields;

#[derive(SealFields)]
struct Token(#[secret] [u8; 32]);

fn main() {}
