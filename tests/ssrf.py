"""Places that nothing may be fetched from, in all the ways that URLs and name servers have to say them."""

from __future__ import annotations

ADDRESSES = (
    *("127.0.0.1", "127.8.9.10", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.254", "192.168.1.1"),
    *("169.254.169.254", "100.64.0.1", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1"),
    *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
    *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12:3456::1", "ff02::1", "2001:db8::1", "fec0::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1"),
    *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "2002:7f00:1::1", "2002:a9fe:a9fe::1"),
    *("2001:0:7f00:1::1", "100::1"),
)
"""Addresses that are nobody's on the open internet, or are led on to one of ours."""

_HOSTS = (
    *("localhost", "LOCALHOST", "localhost.", "127.1", "127.0.1", "0", "0x7f.1", "0x7f000001", "2130706433"),
    *("017700000001", "0177.0.0.1", "127.0.0.1.", "①②⑦.0.0.1", "127。0。0。1", "[::1]", "[::ffff:7f00:1]"),
    *("[0:0:0:0:0:ffff:127.0.0.1]", "[::1%25lo]", "169.254.169.254", "0xa9fea9fe", "2852039166"),
)
URLS = (
    *(f"https://{host}/x" for host in _HOSTS),
    *(f"https://{host}:443/x" for host in ("127.0.0.1", "[::1]", "10.0.0.1")),
    *(f"http://{host}/x" for host in ("127.0.0.1", "api.provider.example", "metadata.google.internal")),
    *(
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "gopher://127.0.0.1:25/x",
        "//127.0.0.1/x",
        "data:text/plain,x",
    ),
    *(
        "https://api.provider.example@127.0.0.1/x",
        "https://127.0.0.1#@api.provider.example/x",
        "https:///x",
        "",
    ),
    *(
        "https://127.0.0.1\\@api.provider.example/x",
        "https://127.0.0.1%00.provider.example/x",
        "https://[::1/x",
    ),
    *(
        "https://api.provider.example:22/x",
        "https://api.provider.example.evil.example/x",
        "https://évil\x00/x",
    ),
    *("https://user:secret@api.provider.example/x", "https://provider.example.127.0.0.1.nip.example/x"),
)
"""URLs that lead to ourselves, or to nobody that we know. What looks like the provider's is not."""
