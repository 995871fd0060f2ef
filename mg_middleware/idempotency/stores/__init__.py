"""The stores that come with the package, each in a module of its own."""
