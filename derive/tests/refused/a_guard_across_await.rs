use strongroom::OwnedOpened;

fn spawn(_: impl Future<Output = ()> + Send + 'static) {}

fn hold(secret: OwnedOpened) {
    spawn(async move {
        let exposed = secret.expose_secret();
        std::future::ready(()).await;
        drop(exposed);
    });
}

fn main() {}
