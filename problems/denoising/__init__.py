"""Noisy functions with their exact Bayes limit, and operators between functions: each module's `problem()` is an
`pinn.OperatorProblem`.

A denoiser is judged against the posterior mean of the clean function given the observations, which no estimator exceeds. Where
it has a closed form, samples carry it as `mean`, and `errors()` reports the gap. `learn_from` says what training may see:
"clean" functions, exact "mean"s (distillation), a "second" noisy observation (Noise2Noise), or the "noise" level alone (SURE).
"""
