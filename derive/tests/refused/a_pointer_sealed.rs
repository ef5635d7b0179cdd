use strongroom::{Opener, Vault};

fn seal(vault: &Vault) {
    let name = String::from("on the heap");
    let _ = vault.seal_value(&name, b"");
    let _ = vault.try_allocate_value::<Vec<u8>>();
}

fn main() {}
