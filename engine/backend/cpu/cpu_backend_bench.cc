// How fast the CPU operations are on the demo model's shapes.
//   cpu_backend_bench [threads]
// Each figure is the best of several runs: other load on the machine only ever
// adds time. With one thread it is processor time, which other load adds less to.
#include <glog/logging.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <limits>

#include "engine/backend/backend_fixture.h"
#include "engine/backend/cpu/cpu_backend.h"

namespace eidetic {
namespace {

// Set once, at the start.
bool processor_time = false;

double Now() {
  timespec now;
  clock_gettime(processor_time ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double BestSeconds(int runs, const std::function<void()>& body) {
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < runs; ++i) {
    const double begin = Now();
    body();
    best = std::min(best, Now() - begin);
  }
  return best;
}

// `work` operations and `bytes` of memory a run.
void Report(const char* what, double seconds, double work, double bytes) {
  std::printf("%-34s %9.1f us %8.1f GFLOP/s %7.1f GB/s\n", what, seconds * 1e6,
              work / seconds * 1e-9, bytes / seconds * 1e-9);
}

// A model reads each weight once a step: enough copies of the matrix that none
// is still in the second-level cache when its turn comes again.
void MatMul(OpRun& run, int64_t rows, int64_t outputs, int64_t inputs) {
  const int copies = rows > 16 ? 1 : 16;
  const StoredTensor w(Random(outputs * inputs, 1), {outputs, inputs}, DType::kBF16);
  std::vector<const Matrix*> matrices;
  for (int i = 0; i < copies; ++i) matrices.push_back(run.Load(w));
  const float* x = run.Floats(Random(rows * inputs, 2));
  void* out = run.Zeros(rows * outputs);
  const double seconds = BestSeconds(30, [&] {
    for (const Matrix* matrix : matrices) {
      run->MatMul({.x = x, .w = matrix, .out = out, .rows = rows});
    }
  });
  char what[64];
  std::snprintf(what, sizeof what, "MatMul %ld x %ld x %ld", long(rows), long(outputs),
                long(inputs));
  const double product = static_cast<double>(outputs) * static_cast<double>(inputs);
  Report(what, seconds / copies, 2.0 * rows * product, 2.0 * product);
}

// `rows` queries at the end of `context` tokens, all of which they see.
void Attention(OpRun& run, const char* what, int64_t context, int64_t rows) {
  const memory::PageLayout layout{.block_size = 32, .kv_heads = 2, .head_dim = 64};
  // One slab, as PageStore has it.
  const int64_t page_floats = static_cast<int64_t>(layout.page_bytes() / 4);
  float* slab = run.Floats(Random(context / 32 * page_floats, 3));
  std::vector<void*> pages;
  for (int64_t b = 0; b < context / 32; ++b) pages.push_back(slab + b * page_floats);
  const AttentionChunk chunk{.row_count = rows, .begin = context - rows, .pages = pages.data()};
  const SpanAttentionRequest request{.chunk = 0};
  const float* q = run.Floats(Random(rows * 384, 1));
  void* out = run.Zeros(rows * 384);
  const double seconds = BestSeconds(20, [&] {
    run->SpanAttention({.q = q,
                        .q_stride = 384,
                        .q_heads = 6,
                        .layout = layout,
                        .rotary_dim = 32,
                        .scale = 0.125f,
                        .chunks = {&chunk, 1},
                        .requests = {&request, 1},
                        .out = out});
  });
  const double pairs = static_cast<double>(rows) * (context - rows / 2.0);
  Report(what, seconds, pairs * 6 * 64 * 4, context * 1024.0);
}

void Scan(OpRun& run, const char* what, int64_t rows) {
  void* state = run.Zeros(12 * 64 * 64);
  const StateSpan span{.row_count = rows, .state_in = state, .state_out = state};
  const float* x = run.Floats(Random(rows * 896, 1));
  const float* heads = run.Floats(Random(12, 2));
  void* out = run.Zeros(rows * 768);
  const double seconds = BestSeconds(20, [&] {
    run->SelectiveScan({.xbc = x,
                        .dt = x,
                        .dt_stride = 896,
                        .a_log = heads,
                        .dt_bias = heads,
                        .d = heads,
                        .dt_max = std::numeric_limits<float>::infinity(),
                        .heads = 12,
                        .head_dim = 64,
                        .groups = 1,
                        .d_state = 64,
                        .out = out,
                        .sequences = {&span, 1}});
  });
  Report(what, seconds, rows * 12.0 * 64 * 64 * 5, 12 * 64 * 64 * 8.0);
}

void Sample(OpRun& run, const char* what, const SamplingParams& params) {
  const float* logits = run.Floats(Random(6144, 1, 3.0f));
  const SampleRow row{&params, {}, 0};
  SampledToken out;
  const double seconds = BestSeconds(20, [&] {
    run->SampleTokens({.logits = logits, .vocab = 6144, .rows = {&row, 1}, .out = {&out, 1}});
  });
  Report(what, seconds, 0, 6144 * 4.0);
}

void Main(int32_t threads) {
  processor_time = threads == 1;
  OpRun run(CreateCpuBackend({.threads = threads}));
  std::printf("%s\n", run->name().c_str());
  for (const int64_t rows : {512, 1, 4, 8}) {
    MatMul(run, rows, 1676, 384);
    MatMul(run, rows, 384, 768);
    MatMul(run, rows, 2048, 384);
    MatMul(run, rows, 384, 1024);
  }
  MatMul(run, 1, 6144, 384);
  Attention(run, "attention, 1 row of 1,344", 1344, 1);
  Attention(run, "attention, 1 row of 4,096", 4096, 1);
  Attention(run, "attention, 1 row of 65,536", 65536, 1);
  Attention(run, "attention, 512 rows of 1,344", 1344, 512);
  Scan(run, "scan, 1 row", 1);
  Scan(run, "scan, 512 rows", 512);
  Sample(run, "sample, greedy", {.temperature = 0});
  Sample(run, "sample, all tokens", {});
  Sample(run, "sample, top-p 0.9", {.top_p = 0.9f});
}

}  // namespace
}  // namespace eidetic

int main(int argc, char** argv) {
  eidetic::Main(argc > 1 ? std::atoi(argv[1]) : 0);
  return 0;
}
