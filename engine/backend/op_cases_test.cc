// Matrix products, norms, gates, embeddings and copies, against the oracle.
//
// Tolerances: a chain of n roundings of relative size kEps is within
// n * kEps * (the same sum over absolute values), which the oracle computes too.
#include "engine/backend/backend_fixture.h"
#include "engine/backend/reference_backend.h"

namespace eidetic {
namespace {

class OpCases : public ::testing::TestWithParam<BackendUnderTest> {
 protected:
  OpRun tested_{GetParam().create()};
  OpRun oracle_{CreateReferenceBackend()};
};
INSTANTIATE_TEST_SUITE_P(Backends, OpCases, ::testing::ValuesIn(BackendsUnderTest()), BackendName);

struct MatMulCase {
  const char* name;
  int64_t rows = 5, outputs = 1676, inputs = 384;
  DType dtype = DType::kBF16;
  bool bias = false;
  float multiplier = 1.0f;
  bool accumulate = false;
};

const MatMulCase kMatMulCases[] = {
    {.name = "demo in_proj"},
    {.name = "demo down", .outputs = 384, .inputs = 1024},
    {.name = "demo head, one row", .rows = 1, .outputs = 6144},
    {.name = "mamba2attn-2.7b in_proj, one row", .rows = 1, .outputs = 10576, .inputs = 256},
    {.name = "bamba-9b k", .rows = 3, .outputs = 1024, .inputs = 4096},
    {.name = "two rows", .rows = 2},
    {.name = "four rows", .rows = 4},
    {.name = "a full tile", .rows = 12, .outputs = 96, .inputs = 64},
    {.name = "a tile and a row", .rows = 13, .outputs = 96, .inputs = 64},
    {.name = "a row block and a row", .rows = 97, .outputs = 96, .inputs = 64},
    {.name = "chunk", .rows = 512, .outputs = 40, .inputs = 64},
    {.name = "float32", .dtype = DType::kF32},
    {.name = "fp16", .dtype = DType::kF16},
    {.name = "bias", .bias = true},
    {.name = "multiplier", .multiplier = 0.22f},
    {.name = "accumulate", .bias = true, .multiplier = 0.22f, .accumulate = true},
    {.name = "one output", .outputs = 1},
    {.name = "one input", .inputs = 1},
    {.name = "one by one", .rows = 1, .outputs = 1, .inputs = 1, .accumulate = true},
    {.name = "panel less one", .outputs = 31, .inputs = 17, .dtype = DType::kF32, .bias = true},
    {.name = "panel and one", .outputs = 33, .inputs = 17, .bias = true, .accumulate = true},
    {.name = "half panel", .rows = 1, .outputs = 16, .inputs = 5},
};

std::vector<float> RunMatMul(const MatMulCase& c, bool absolute, OpRun& run) {
  const auto input = [&](int64_t count, uint64_t seed) {
    return absolute ? Abs(Random(count, seed)) : Random(count, seed);
  };
  const StoredTensor w(input(c.outputs * c.inputs, 1), {c.outputs, c.inputs}, c.dtype);
  float* out = run.Upload(input(c.rows * c.outputs, 3));
  run->MatMul({.x = run.Upload(input(c.rows * c.inputs, 2)),
               .w = run.Load(w),
               .bias = c.bias ? run.Upload(input(c.outputs, 4)) : nullptr,
               .out = out,
               .rows = c.rows,
               .multiplier = c.multiplier,
               .accumulate = c.accumulate});
  return run.Read(out, c.rows * c.outputs);
}

TEST_P(OpCases, MatMul) {
  for (const MatMulCase& c : kMatMulCases) {
    SCOPED_TRACE(c.name);
    // One rounding a step of the chain; bias, multiplier, sum and the oracle's own.
    ExpectWithin(RunMatMul(c, false, tested_), RunMatMul(c, false, oracle_),
                 Relative(RunMatMul(c, true, oracle_), (c.inputs + 4) * kEps));
  }
}

TEST_P(OpCases, LoadStackedEqualsItsPartsOneAfterTheOther) {
  for (const DType second : {DType::kBF16, DType::kF32}) {  // the latter widens the former
    const StoredTensor a(Random(40 * 24, 1), {40, 24}, DType::kBF16);
    const StoredTensor b(Random(9 * 24, 2), {9, 24}, second);
    const TensorView views[] = {a.view(), b.view()};
    auto stacked = tested_->LoadStacked(views);
    ASSERT_TRUE(stacked.ok());
    ASSERT_EQ((*stacked)->rows(), 49);
    const float* x = tested_.Upload(Random(24, 3));
    void* whole = tested_.Zeros(49);
    void* first = tested_.Zeros(40);
    void* rest = tested_.Zeros(9);
    tested_->MatMul({.x = x, .w = stacked->get(), .out = whole, .rows = 1});
    tested_->MatMul({.x = x, .w = tested_.Load(a), .out = first, .rows = 1});
    tested_->MatMul({.x = x, .w = tested_.Load(b), .out = rest, .rows = 1});
    std::vector<float> parts = tested_.Read(first, 40);
    for (float value : tested_.Read(rest, 9)) parts.push_back(value);
    EXPECT_EQ(tested_.Read(whole, 49), parts);
  }
}

TEST_P(OpCases, LoadRefusesWhatIsNoMatrix) {
  const StoredTensor matrix(Random(24, 1), {4, 6}, DType::kF32);
  const StoredTensor cube(Random(24, 1), {2, 2, 6}, DType::kF32);
  const StoredTensor narrow(Random(20, 1), {4, 5}, DType::kF32);
  StoredTensor torn = matrix;
  torn.bytes.pop_back();
  StoredTensor huge = matrix;
  huge.shape = {int64_t{1} << 40, int64_t{1} << 40};
  const TensorView differing[] = {matrix.view(), narrow.view()};
  EXPECT_EQ(tested_->LoadMatrix(cube.view()).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(tested_->LoadMatrix(torn.view()).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(tested_->LoadMatrix(huge.view()).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(tested_->LoadVector(torn.view()).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(tested_->LoadStacked(differing).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_P(OpCases, Embed) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    const StoredTensor table(Random(100 * 17, 1), {100, 17}, dtype);
    const std::vector<memory::TokenId> ids = {0, 99, 31, 32, 15, 16, 31};
    const auto embed = [&](OpRun& run) {
      void* out = run.Zeros(ids.size() * 17);
      run->Embed({.ids = ids, .table = run.Load(table), .multiplier = 12.0f, .out = out});
      return run.Read(out, ids.size() * 17);
    };
    EXPECT_EQ(embed(tested_), embed(oracle_));  // one rounding on both sides
  }
}

struct NormCase {
  const char* name;
  int64_t rows = 5, dim = 384;
  bool gate = false;
  int64_t padding = 0;  // of the input's rows
  float scale = 1.0f;
};

const NormCase kNormCases[] = {
    {.name = "demo"},
    {.name = "demo gated, gate inside the projection", .dim = 768, .gate = true, .padding = 908},
    {.name = "mamba2attn-2.7b", .dim = 2560},
    {.name = "bamba-9b gated", .rows = 2, .dim = 8192, .gate = true},
    {.name = "many rows", .rows = 300, .dim = 100},
    {.name = "one channel", .dim = 1},
    {.name = "odd", .dim = 17, .gate = true},
    {.name = "tiny values: eps decides", .scale = 1e-6f},
    {.name = "large gates", .dim = 40, .gate = true, .scale = 60.0f},
};

std::vector<float> RunNorm(const NormCase& c, OpRun& run) {
  const int64_t stride = c.dim + c.padding;
  void* out = run.Zeros(c.rows * c.dim);
  run->RmsNorm({.x = run.Upload(Random(c.rows * stride, 1, c.scale)),
                .gate = c.gate ? run.Upload(Random(c.rows * stride, 2, c.scale)) : nullptr,
                .weight = run.Upload(Random(c.dim, 3)),
                .out = out,
                .rows = c.rows,
                .dim = c.dim,
                .x_stride = stride,
                .gate_stride = stride});
  return run.Read(out, c.rows * c.dim);
}

TEST_P(OpCases, RmsNorm) {
  for (const NormCase& c : kNormCases) {
    SCOPED_TRACE(c.name);
    const std::vector<float> want = RunNorm(c, oracle_);
    // The sum of squares has dim roundings, halved by the root; a sigmoid costs few.
    ExpectWithin(RunNorm(c, tested_), want, Relative(want, (c.dim / 2 + 16) * kEps));
  }
}

TEST_P(OpCases, RmsNormInPlace) {
  const std::vector<float> x = Random(3 * 384, 1);
  float* rows = tested_.Upload(x);
  void* apart = tested_.Zeros(3 * 384);
  RmsNormParams params{.x = rows,
                       .weight = tested_.Upload(Random(384, 2)),
                       .out = apart,
                       .rows = 3,
                       .dim = 384,
                       .x_stride = 384};
  tested_->RmsNorm(params);
  params.out = rows;
  tested_->RmsNorm(params);
  EXPECT_EQ(tested_.Read(rows, 3 * 384), tested_.Read(apart, 3 * 384));
}

TEST_P(OpCases, SwiGlu) {
  for (const int64_t dim : {1, 17, 1024, 14336}) {
    SCOPED_TRACE(dim);
    const auto gate = [&](OpRun& run) {
      const float* both = run.Upload(Random(3 * 2 * dim, 1, 4.0f));  // gate | up
      void* out = run.Zeros(3 * dim);
      run->SwiGlu({.gate = both,
                   .up = both + dim,
                   .rows = 3,
                   .dim = dim,
                   .gate_stride = 2 * dim,
                   .up_stride = 2 * dim,
                   .out = out});
      return run.Read(out, 3 * dim);
    };
    const std::vector<float> want = gate(oracle_);
    ExpectWithin(gate(tested_), want, Relative(want, 12 * kEps));
  }
}

TEST_P(OpCases, CopyRows) {
  const float* from = tested_.Upload({1, 2, 3, 4, 5, 6});
  float* to = static_cast<float*>(tested_.Zeros(6));
  const void* sources[] = {from + 4, from};
  void* targets[] = {to, to + 2};
  tested_->CopyRows({.from = sources, .to = targets, .row_bytes = 2 * sizeof(float)});
  EXPECT_EQ(tested_.Read(to, 6), (std::vector<float>{5, 6, 1, 2, 0, 0}));
}

}  // namespace
}  // namespace eidetic
