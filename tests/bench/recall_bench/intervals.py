"""95 % intervals of means over questions that come in clusters, here haystacks.

Questions of one haystack are not independent: it may hide all of its needles badly. With scores
s_hi of haystack h, n questions in H haystacks, and their mean m, the variance of m is estimated
between haystacks:

  v = H / (H - 1) * sum_h (sum_i (s_hi - m))^2 / n^2

(the cluster-robust variance of a mean: Miller, "Adding Error Bars to Evals", arXiv 2411.00640,
section 2.2, with the usual correction for few clusters and H - 1 degrees of freedom: Cameron and
Miller, "A Practitioner's Guide to Cluster-Robust Inference", J. Human Resources 50, 2015).

A mean of scores in [0, 1] that is near 0 or 1 gets Wilson's interval at an effective number of
questions (Dean and Pagano, J. Survey Statistics and Methodology 3, 2015; Korn and Graubard, Survey
Methodology 24, 1998), with t the quantile for H - 1 degrees of freedom and z the normal one:

  n_e = min(n, m (1 - m) / v) * (z / t)^2    (v = 0, all right or all wrong: n in place of the min)
"""

import math
from functools import lru_cache

Z = 1.959963984540054


@lru_cache(maxsize=None)
def t_quantile(degrees):
    """Student's t at 0.975, by bisection on Simpson's rule."""
    log_scale = (
        math.lgamma((degrees + 1) / 2)
        - math.lgamma(degrees / 2)
        - 0.5 * math.log(degrees * math.pi)
    )

    def above_zero(x, steps=2000):
        """The probability between 0 and x."""

        def density(u):
            return math.exp(log_scale - (degrees + 1) / 2 * math.log1p(u * u / degrees))

        width = x / steps
        inner = sum((4 if i % 2 else 2) * density(i * width) for i in range(1, steps))
        return width / 3 * (density(0) + inner + density(x))

    low, high = 0.0, 13.0  # 12.71 with one degree
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if above_zero(middle) < 0.475 else (low, middle)
    return (low + high) / 2


def mean_and_variance(clusters):
    """Of all scores in a list of lists; the variance is None with fewer than two clusters."""
    scores = [s for cluster in clusters for s in cluster]
    mean = math.fsum(scores) / len(scores)
    if len(clusters) < 2:
        return mean, None
    squares = math.fsum(math.fsum(s - mean for s in cluster) ** 2 for cluster in clusters)
    return mean, len(clusters) / (len(clusters) - 1) * squares / len(scores) ** 2


def interval(clusters):
    """(mean, low, high) of any scores, by Student's t; low and high are None with one cluster."""
    clusters = [c for c in clusters if c]
    mean, variance = mean_and_variance(clusters)
    if variance is None:
        return mean, None, None
    half = t_quantile(len(clusters) - 1) * math.sqrt(variance)
    return mean, mean - half, mean + half


def share_interval(clusters):
    """(mean, low, high) of scores between 0 and 1."""
    clusters = [c for c in clusters if c]
    mean, variance = mean_and_variance(clusters)
    if variance is None:
        return mean, None, None
    count = sum(len(c) for c in clusters)
    effective = count
    if variance > 0:
        effective = min(count, mean * (1 - mean) / variance)
    effective *= (Z / t_quantile(len(clusters) - 1)) ** 2
    middle = (mean + Z * Z / (2 * effective)) / (1 + Z * Z / effective)
    half = (
        Z
        / (1 + Z * Z / effective)
        * math.sqrt(mean * (1 - mean) / effective + (Z / (2 * effective)) ** 2)
    )
    return mean, max(0.0, middle - half), min(1.0, middle + half)
