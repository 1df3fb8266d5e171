// Norms, gates, embeddings and copies, against the oracle.
//
// Tolerances: as mat_mul_cases_test.cc says.
#include <algorithm>

#include "engine/backend/backend_fixture.h"

namespace eidetic {
namespace {

using OpCases = BackendCases;
INSTANTIATE_TEST_SUITE_P(Backends, OpCases, ::testing::ValuesIn(BackendsUnderTest()), BackendName);

TEST_P(OpCases, Embed) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    const StoredTensor table(Stored(Random(100 * 17, 1)), {100, 17}, dtype);
    const std::vector<memory::TokenId> ids = {0, 99, 31, 32, 15, 16, 31};
    std::vector<memory::TokenId> turned;
    const auto embed = [&](uint64_t round, OpRun& run) {
      turned = ids;
      std::rotate(turned.begin(), turned.begin() + round, turned.end());
      auto* out = static_cast<float*>(run.Zeros(ids.size() * 17));
      run->Embed({.ids = turned, .table = run.Load(table), .multiplier = 12.0f, .out = out});
      return run.ReadFloats(out, ids.size() * 17);
    };
    EachRound([&](uint64_t round) { return embed(round, tested_); },
              [&](uint64_t round, const std::vector<float>& got) {
                EXPECT_EQ(got, embed(round, oracle_));  // one rounding on both sides
              });
  }
}

struct NormCase {
  const char* name;
  int64_t rows = 5, dim = 384;
  bool gate = false;
  int64_t padding = 0;  // of the input's rows
  float scale = 1.0f;
  Number x_number = Number::kActivation;
};

const NormCase kNormCases[] = {
    {.name = "demo"},
    {.name = "demo gated, gate inside the projection", .dim = 768, .gate = true, .padding = 908},
    {.name = "mamba2attn-2.7b", .dim = 2560, .x_number = Number::kFloat32},
    {.name = "mamba2attn-2.7b gated, one row", .rows = 1, .dim = 5120, .gate = true},
    {.name = "bamba-9b gated", .rows = 2, .dim = 8192, .gate = true},
    {.name = "many rows", .rows = 300, .dim = 100},
    {.name = "one channel", .dim = 1},
    {.name = "odd", .dim = 17, .gate = true},
    {.name = "odd, of float32", .dim = 17, .x_number = Number::kFloat32},
    {.name = "tiny values: eps decides", .scale = 1e-6f},
    {.name = "large gates", .dim = 40, .gate = true, .scale = 60.0f},
};

TEST_P(OpCases, RmsNorm) {
  for (const NormCase& c : kNormCases) {
    SCOPED_TRACE(c.name);
    const int64_t stride = c.dim + c.padding;
    std::vector<float> x, gate;
    const auto norm = [&](uint64_t round, OpRun& run) {
      x = Random(c.rows * stride, 10 * round + 1, c.scale);
      if (c.x_number == Number::kActivation) x = Stored(x);
      gate = Stored(Random(c.rows * stride, 10 * round + 2, c.scale));
      void* out = run.ActivationZeros(c.rows * c.dim);
      run->RmsNorm({.x = run.Numbers(c.x_number, x),
                    .x_number = c.x_number,
                    .gate = c.gate ? run.Activations(gate) : nullptr,
                    .weight = run.Floats(Random(c.dim, 3)),
                    .out = out,
                    .rows = c.rows,
                    .dim = c.dim,
                    .x_stride = stride,
                    .gate_stride = stride});
      return run.ReadActivations(out, c.rows * c.dim);
    };
    EachRound([&](uint64_t round) { return norm(round, tested_); },
              [&](uint64_t round, const std::vector<float>& got) {
                const std::vector<float> want = norm(round, oracle_);
                // The sum of squares has dim roundings, halved by the root; a sigmoid costs few,
                // and its own error moves value and mean square alike.
                const double factor = (static_cast<double>(c.dim) / 2 + 16) * kEps +
                                      (c.gate ? 2 * SiluError(MaxAbs(gate)) : 0);
                ExpectWithin(c.name, got, want,
                             AndRounded(Relative(want, factor), want, Rounding()));
              });
    if (HasFatalFailure()) return;
  }
}

TEST_P(OpCases, RmsNormInPlace) {
  const std::vector<float> x = Random(3 * 384, 1);
  void* rows = tested_.Activations(x);
  void* apart = tested_.ActivationZeros(3 * 384);
  RmsNormParams params{.x = rows,
                       .weight = tested_.Floats(Random(384, 2)),
                       .out = apart,
                       .rows = 3,
                       .dim = 384,
                       .x_stride = 384};
  tested_->RmsNorm(params);
  params.out = rows;
  tested_->RmsNorm(params);
  EXPECT_EQ(tested_.ReadActivations(rows, 3 * 384), tested_.ReadActivations(apart, 3 * 384));
}

TEST_P(OpCases, SwiGlu) {
  for (const int64_t dim : {1, 17, 1024, 14336}) {
    SCOPED_TRACE(dim);
    std::vector<float> values;
    const auto gate = [&](uint64_t round, OpRun& run) {
      values = Stored(Random(3 * 2 * dim, round + 1, 4.0f));
      void* both = run.Activations(values);  // gate | up
      void* out = run.ActivationZeros(3 * dim);
      run->SwiGlu({.gate = both,
                   .up = run.After(both, dim),
                   .rows = 3,
                   .dim = dim,
                   .gate_stride = 2 * dim,
                   .up_stride = 2 * dim,
                   .out = out});
      return run.ReadActivations(out, 3 * dim);
    };
    EachRound([&](uint64_t round) { return gate(round, tested_); },
              [&](uint64_t round, const std::vector<float>& got) {
                const std::vector<float> want = gate(round, oracle_);
                const double factor = 12 * kEps + SiluError(MaxAbs(values));
                ExpectWithin("SwiGLU", got, want,
                             AndRounded(Relative(want, factor), want, Rounding()));
              });
  }
}

TEST_P(OpCases, CopyRows) {
  const std::vector<float> want[] = {{5, 6, 1, 2, 0, 0}, {3, 4, 1, 2, 0, 0}, {1, 2, 1, 2, 0, 0}};
  std::vector<const void*> sources;
  std::vector<void*> targets;
  EachRound(
      [&](uint64_t round) {
        const float* from = tested_.Floats({1, 2, 3, 4, 5, 6});
        float* to = static_cast<float*>(tested_.Zeros(6));
        sources = {from + 4 - 2 * round, from};
        targets = {to, to + 2};
        tested_->CopyRows({.from = sources, .to = targets, .row_bytes = 2 * sizeof(float)});
        return tested_.ReadFloats(to, 6);
      },
      [&](uint64_t round, const std::vector<float>& got) { EXPECT_EQ(got, want[round]); });
}

}  // namespace
}  // namespace eidetic
