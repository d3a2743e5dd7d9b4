"""The peers' strategy under our broker with isolated margin."""

from .crossing import once_of
from .serving import serve

if __name__ == "__main__":
    serve(once_of("isolated"))
