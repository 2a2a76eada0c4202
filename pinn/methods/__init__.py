"""Training methods of the package's own, each an optax GradientTransformationExtraArgs, one a file."""
