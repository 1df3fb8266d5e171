// Whether a tenant can tell by the clock that another one holds a text.
//
// One tenant's sessions hold some prompts. Another sends, in an order drawn by chance, prompts that
// are held and prompts of the same length that nobody holds, and times the first token of each.
// Printed is the area under the ROC curve of telling them apart by that time: 0.5 is blind chance.
#include <glog/logging.h>

#include <algorithm>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/synchronization/notification.h"
#include "tests/bench/generation_listener.h"
#include "tests/bench/measure.h"
#include "tests/bench/service_engine.h"
#include "tests/bench/some_tokens.h"

ABSL_FLAG(std::string, device, "cpu", "as of eidetic-server");
ABSL_FLAG(std::string, model, "engine/model/demo", "model folder, or a config.json");
ABSL_FLAG(std::string, demo, "engine/model/demo", "folder of the tokenizer for a config.json");
ABSL_FLAG(int32_t, held, 16, "prompts that the other tenant's sessions hold");
ABSL_FLAG(int32_t, prompt_tokens, 64, "of each prompt");
ABSL_FLAG(int32_t, probes, 2000, "of each kind");

namespace eidetic::bench {
namespace {

constexpr int64_t kNotHeld = 1'000'000;  // seeds from here on are of prompts that nobody holds

GenerateSpec Prompt(const ServiceEngine& service, const ServiceOptions& options, int64_t seed,
                    const std::string& tenant) {
  GenerateSpec spec = service.Spec(options, seed);
  spec.tenant = tenant;
  return spec;
}

// A session of `holder` that has computed the prompt, and stays.
void Hold(ServiceEngine* service, const ServiceOptions& options, int64_t seed) {
  const SessionName name{"holder", "held-" + std::to_string(seed)};
  absl::Notification made;
  service->engine().CreateSession(name, service->settings(), "", {}, "", "", [&](auto session) {
    CHECK(session.ok()) << session.status();
    made.Notify();
  });
  made.WaitForNotification();
  GenerateSpec spec = Prompt(*service, options, seed, name.tenant);
  spec.session = name;
  GenerationListener::Start(&service->engine(), std::move(spec))->WaitForEnd();
}

double SecondsToFirstToken(ServiceEngine* service, GenerateSpec spec) {
  const double begin = NowSeconds();
  const auto listener = GenerationListener::Start(&service->engine(), std::move(spec));
  listener->WaitForEnd();
  return listener->times().front() - begin;
}

// The share of pairs in which `b` is the larger; of equal ones half (Mann and Whitney 1947).
double AreaUnderCurve(const std::vector<double>& a, std::vector<double> b) {
  std::sort(b.begin(), b.end());
  double above = 0;
  for (const double value : a) {
    const auto [first, last] = std::equal_range(b.begin(), b.end(), value);
    above += static_cast<double>(b.end() - last) + 0.5 * static_cast<double>(last - first);
  }
  return above / (static_cast<double>(a.size()) * static_cast<double>(b.size()));
}

void Run() {
  const int32_t held = absl::GetFlag(FLAGS_held), probes = absl::GetFlag(FLAGS_probes);
  const ServiceOptions options{.device = absl::GetFlag(FLAGS_device),
                               .model = absl::GetFlag(FLAGS_model),
                               .tokenizer = absl::GetFlag(FLAGS_demo),
                               .streams = held + 1,
                               .tokens = 1,
                               .prompt_tokens = absl::GetFlag(FLAGS_prompt_tokens),
                               .prefill_sessions = 0};
  ServiceEngine service(options);
  for (int32_t i = 0; i < held; ++i) Hold(&service, options, i);
  std::vector<bool> order(2 * probes);
  std::fill(order.begin(), order.begin() + probes, true);
  std::shuffle(order.begin(), order.end(), std::mt19937_64(1));
  std::vector<double> seconds[2];  // of prompts that are not held, and that are
  for (size_t i = 0; i < order.size(); ++i) {
    const int64_t number = static_cast<int64_t>(seconds[order[i]].size());
    const int64_t seed = order[i] ? number % held : kNotHeld + number % held;
    seconds[order[i]].push_back(
        SecondsToFirstToken(&service, Prompt(service, options, seed, "prober")));
    if (i % 100 == 99) std::fprintf(stderr, "\r%zu of %zu probes", i + 1, order.size());
  }
  std::fprintf(stderr, "\n");
  std::printf(
      "bench name=prefix_probe device=\"%s\" probes=%d held_p50_ms=%.4f not_held_p50_ms=%.4f "
      "auc=%.4f\n",
      service.backend().name().c_str(), probes, Median(seconds[1]) * 1e3, Median(seconds[0]) * 1e3,
      AreaUnderCurve(seconds[0], seconds[1]));
}

}  // namespace
}  // namespace eidetic::bench

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  eidetic::bench::Run();
  return 0;
}
