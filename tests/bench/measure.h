// Times, medians, and the roofs that a device's figures are held against.
//
// Thread safety: none. Ownership: borrows the backend. Preconditions: nothing else runs on it.
#ifndef EIDETIC_TESTS_BENCH_MEASURE_H_
#define EIDETIC_TESTS_BENCH_MEASURE_H_

#include <functional>
#include <vector>

#include "engine/backend/backend.h"

namespace eidetic::bench {

double NowSeconds();
// Of values in any order; the upper one of the two in the middle.
double Median(std::vector<double> values);
// The value that `share` (0 to 1) of all do not exceed.
double Quantile(std::vector<double> values, double share);
// Median seconds of `work` followed by Synchronize, over `runs`, after two that do not count.
double TimeOnBackend(Backend* backend, int runs, const std::function<void()>& work);

struct Roofs {
  double copy_bytes_per_second = 0;     // a large copy within the arena: bytes read and written
  double product_flops_per_second = 0;  // an 8192^3 product of random matrices
};
Roofs MeasureRoofs(Backend* backend);
// Prints them as a `bench` line.
void PrintRoofs(const Backend& backend, const Roofs& roofs);

}  // namespace eidetic::bench

#endif  // EIDETIC_TESTS_BENCH_MEASURE_H_
