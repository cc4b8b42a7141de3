"""The families of models, each against the package that brings its modules."""
