"""Reading URLs: what they mean, in every spelling."""

import pytest

from server.errors import AddressForbidden
from server.net import urls
from server.net.urls import Endpoint, read_url

SPELLINGS = {
    "http://8.8.8.8": ("8.8.8.8", 80, "/"),
    "HTTP://Example.COM/A": ("example.com", 80, "/A"),
    "https://example.com": ("example.com", 443, "/"),
    "https://example.com:443/": ("example.com", 443, "/"),
    "http://example.com:/x": ("example.com", 80, "/x"),
    "http://example.com.:8080/x": ("example.com", 8080, "/x"),
    "http://example.com:080/": ("example.com", 80, "/"),
    "http://x?q=1": ("x", 80, "/?q=1"),
    "http://x/a?b?c#d?e": ("x", 80, "/a?b?c"),
    "http://x#@127.0.0.1/": ("x", 80, "/"),
    "http://x/a%20b%2F%zz": ("x", 80, "/a%20b%2F%zz"),
    "http://x/@:!$&'()*+,;=|^[]\"<>`{}": ("x", 80, "/@:!$&'()*+,;=|^[]\"<>`{}"),
    "http://x/ä?ö=€": ("x", 80, "/%C3%A4?%C3%B6=%E2%82%AC"),
    "http://bücher.example/": ("xn--bcher-kva.example", 80, "/"),
    "http://a_b.example/": ("a_b.example", 80, "/"),
    "http://0x8.0x8.010.8/": ("8.8.8.8", 80, "/"),
    "http://134744072/": ("8.8.8.8", 80, "/"),
    "http://８.8。8．8/": ("8.8.8.8", 80, "/"),
    "http://8.8.8.8./": ("8.8.8.8", 80, "/"),
    "http://8.8.8.8.example/": ("8.8.8.8.example", 80, "/"),
    "http://[2A00:0:0::1]:81/": ("2a00::1", 81, "/"),
    "http://[::ffff:8.8.8.8]/": ("::ffff:808:808", 80, "/"),
}


@pytest.mark.parametrize("url", SPELLINGS)
def test_what_a_url_means(url: str) -> None:
    endpoint = read_url(url)
    assert (endpoint.host, endpoint.port, endpoint.target) == SPELLINGS[url]
    assert endpoint.target.isascii()
    is_address = endpoint.host[0] in "82:" and "example" not in endpoint.host
    assert (endpoint.address is not None) == is_address


def test_the_host_header_names_the_port_where_it_is_not_the_usual_one() -> None:
    def header(url: str) -> str:
        endpoint: Endpoint = read_url(url)
        return endpoint.host_header

    assert header("http://a.example:80/") == header("http://A.example/") == "a.example"
    assert header("https://a.example:80/") == "a.example:80"
    assert header("http://[2a00::1]:8080/") == "[2a00::1]:8080"
    assert header("https://[2a00::1]/") == "[2a00::1]"


@pytest.mark.parametrize("form", ["http://{}/", "//{}", "https://a@{}", "http://[{}]", "{}"])
def test_what_cannot_be_a_host_is_refused_before_it_is_normalised(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By NFKC and IDNA, which take seconds of the server's one loop for thousands of marks."""
    monkeypatch.setattr(urls, "_read_host", None)
    if "//" in form:
        monkeypatch.setattr(urls, "urlsplit", None)
    with pytest.raises(AddressForbidden):
        read_url(form.format("a" + "\u0300\u0316" * 4000))
