"""What stands for a class of named tuples in a trace. Graph mode compiles this file, so it has no annotations."""


def plain_tuple(*values, **named):
    """The values in the order in which the code gives them."""
    for key in named:
        values = values + (named[key],)
    return values
