"""A program that speaks TLS by Python's own module, unchanged: `with_ssl.py CERTIFICATE KEY`."""
import ssl
import sys

server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server.load_cert_chain(sys.argv[1], sys.argv[2])
client = ssl.create_default_context(cafile=sys.argv[1])
to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
ends = [client.wrap_bio(to_client, to_server, server_hostname="example"), server.wrap_bio(to_server, to_client, True)]
done = set()
while len(done) < 2:
    for end in ends:
        try:
            end.do_handshake()
            done.add(end)
        except ssl.SSLWantReadError:
            pass
ends[0].write(b"hello")
assert ends[1].read() == b"hello"
print("passed")
