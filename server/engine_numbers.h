// The engine's own numbers, read when the metrics page is asked for.
//
// Thread safety: pure. Ownership: none. Preconditions: none.
#ifndef EIDETIC_SERVER_ENGINE_NUMBERS_H_
#define EIDETIC_SERVER_ENGINE_NUMBERS_H_

#include <prometheus/metric_family.h>

#include <vector>

#include "engine/engine.h"

namespace eidetic {

// One family for each name of the table in engine_numbers.cc.
void AddEngineNumbers(const EngineStats& stats, std::vector<prometheus::MetricFamily>* families);

}  // namespace eidetic

#endif  // EIDETIC_SERVER_ENGINE_NUMBERS_H_
