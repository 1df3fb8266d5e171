// Several sequences at once: each gets what it gets alone, bit by bit, decode rows beside chunks.
#include "engine/backend/attention_scene.h"

namespace eidetic {
namespace {

constexpr int32_t kSpan = 4;

const AttentionCase kSequences[] = {
    {.name = "decode", .rows = 1},
    {.name = "chunk", .context = 640, .rows = 37},
    {.name = "first chunk", .context = 0, .rows = 70, .sinks = 0, .span = 0},
    {.name = "decode, true positions", .context = 533, .rows = 1, .remap = false},
    {.name = "first token", .context = 0, .rows = 1, .sinks = 0, .span = 0},
    {.name = "decode of a full session",
     .context = 1300,
     .rows = 1,
     .sinks = 0,
     .span = 0,
     .window = 1 << 20,
     .remap = false},
};

class AttentionBatch : public BackendCases {
 protected:
  using Inputs = std::vector<SceneInputs>;
  using Results = std::vector<std::vector<float>>;

  Inputs DrawInputs(uint64_t round) const {
    Inputs inputs;
    for (const AttentionCase& c : kSequences) {
      const uint64_t seed = 1000 * round + 10 * inputs.size();
      inputs.push_back({Stored(Random(c.tokens() * c.kv_width(), seed + 1)),
                        Stored(Random(c.tokens() * c.kv_width(), seed + 2)),
                        Stored(Random(c.rows * c.query_width(), seed + 3))});
    }
    return inputs;
  }

  // Outputs and masses of each sequence.
  static Results Alone(const Inputs& inputs, uint64_t round, OpRun& run) {
    Results results;
    for (const AttentionCase& c : kSequences) {
      Scene scene(c, inputs[results.size()], round, run);
      if (c.span > 0) scene.Retrieve(nullptr);
      results.push_back(scene.Attend());
    }
    return results;
  }

  static Results AtOnce(const Inputs& inputs, uint64_t round, OpRun& run) {
    std::vector<Scene> scenes;
    std::vector<AttentionChunk> chunks;
    std::vector<RetrievalRequest> retrievals;
    std::vector<SpanAttentionRequest> requests;
    std::vector<float> queries;
    int64_t rows = 0;
    scenes.reserve(inputs.size());
    for (const AttentionCase& c : kSequences) {
      const SceneInputs& in = inputs[scenes.size()];
      const Scene& scene = scenes.emplace_back(c, in, round, run);
      const auto chunk = static_cast<int32_t>(chunks.size());
      auto* mass = static_cast<float*>(run.Zeros(c.kv_heads * kSpan));
      requests.push_back(scene.ToAttend(chunk, static_cast<int32_t>(retrievals.size()), mass));
      if (c.span > 0) retrievals.push_back(scene.ToRetrieve(chunk));
      chunks.push_back(scene.Chunk(rows));
      queries.insert(queries.end(), in.queries.begin(), in.queries.end());
      rows += c.rows;
    }
    const AttentionCase& shape = kSequences[0];
    const void* q = run.Activations(queries);
    auto* blocks = static_cast<int32_t*>(
        run.Zeros(static_cast<int64_t>(retrievals.size()) * shape.kv_heads * kSpan));
    void* out = run.ActivationZeros(rows * shape.query_width());
    run->RetrieveSpan({.q = q,
                       .q_stride = shape.query_width(),
                       .q_heads = shape.q_heads,
                       .layout = scenes[0].layout(),
                       .chunks = chunks,
                       .requests = retrievals,
                       .blocks = blocks,
                       .max_span = kSpan});
    run->SpanAttention({.q = q,
                        .q_stride = shape.query_width(),
                        .q_heads = shape.q_heads,
                        .layout = scenes[0].layout(),
                        .rotary_dim = shape.rotary_dim,
                        .rope_theta = 10000.0f,
                        .scale = shape.scale(),
                        .chunks = chunks,
                        .requests = requests,
                        .blocks = blocks,
                        .max_span = kSpan,
                        .out = out});
    Results results;
    for (size_t i = 0; i < chunks.size(); ++i) {
      const AttentionCase& c = kSequences[i];
      void* from = run.After(out, chunks[i].row_begin * c.query_width());
      results.push_back(run.ReadActivations(from, c.rows * c.query_width()));
      for (float share : run.ReadFloats(requests[i].mass, c.kv_heads * c.span)) {
        results.back().push_back(share);
      }
    }
    return results;
  }
};
INSTANTIATE_TEST_SUITE_P(Backends, AttentionBatch, ::testing::ValuesIn(BackendsUnderTest()),
                         BackendName);

TEST_P(AttentionBatch, EachSequenceGetsWhatItGetsAlone) {
  for (int round = 0; round < GetParam().rounds; ++round) {
    const Inputs inputs = DrawInputs(round);
    tested_.Again();
    const Results together = AtOnce(inputs, round, tested_);
    const Results alone = Alone(inputs, round, tested_);
    for (size_t i = 0; i < alone.size(); ++i) {
      EXPECT_TRUE(SameBits(together[i], alone[i])) << kSequences[i].name << ", round " << round;
    }
  }
}

}  // namespace
}  // namespace eidetic
