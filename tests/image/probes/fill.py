"""Fill /tmp; print why it ended."""

try:
    with open("/tmp/full", "wb", buffering=0) as file:  # noqa: PTH123 - as little as can be
        while True:
            file.write(bytes(4096))
except OSError as error:
    print(error.strerror)
