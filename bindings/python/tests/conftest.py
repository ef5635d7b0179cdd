import faulthandler
from collections.abc import Iterator

import pytest
import strongroom


@pytest.fixture
def vault() -> strongroom.Vault:
    return strongroom.Vault(16 * 1024)


@pytest.fixture(autouse=True)
def a_test_that_hangs_ends() -> Iterator[None]:
    faulthandler.dump_traceback_later(120, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()
