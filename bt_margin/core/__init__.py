"""The margin model: values in, values out, on the standard library alone."""
