"""What a server decides before it starts: files and connections."""

import resource

from server.starting import MOST_FILES, most_connections, raise_file_limit


def test_connections_leave_files_for_the_server() -> None:
    assert most_connections(4000, 1 << 16) == 4000
    assert most_connections(4000, 1024) == 256
    assert most_connections(100, 1024) == 100
    assert most_connections(4000, 10) == 2


def test_the_limit_of_open_files_is_raised() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        raised = raise_file_limit()
        assert raised == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        assert raised == min(MOST_FILES, hard if hard != resource.RLIM_INFINITY else MOST_FILES)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
