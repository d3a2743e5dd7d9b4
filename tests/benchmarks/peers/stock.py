"""The peers' strategy under Backtrader as it comes."""

from .crossing import once_of
from .serving import serve

if __name__ == "__main__":
    serve(once_of("stock"))
