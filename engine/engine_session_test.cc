#include <gmock/gmock.h>

#include "engine/engine_fixture.h"

namespace eidetic {
namespace {

using ::testing::HasSubstr;
using EngineSessionTest = EngineTest;

TEST_F(EngineSessionTest, IsCreatedReadAndDeleted) {
  Start();
  const auto made = Create("a");
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->name, Name("a"));
  EXPECT_EQ(made->position, 0);
  EXPECT_FALSE(made->busy);
  EXPECT_GT(made->memory_bytes, 0);
  EXPECT_TRUE(Get("a").ok());
  EXPECT_EQ(Create("a").status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(Delete("a").ok());
  EXPECT_EQ(Get("a").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Delete("a").code(), absl::StatusCode::kNotFound);
}

TEST_F(EngineSessionTest, ARepeatedCreationGivesTheSameSession) {
  Start();
  ASSERT_TRUE(Create("a", "r1", "body").ok());
  Pour("a", "hello");
  const auto again = Create("drawn-anew", "r1", "body");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->name, Name("a"));
  EXPECT_EQ(again->position, 5);
  EXPECT_EQ(Create("b", "r1", "other").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Get("drawn-anew").status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(Delete("a").ok());
  EXPECT_EQ(Create("a", "r1", "body").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(EngineSessionTest, ACreationIsForgottenAfterItsRetention) {
  Start();
  ASSERT_TRUE(Create("a", "r1", "body").ok());
  clock_seconds_ += 25 * 3600;
  EXPECT_TRUE(Eventually([&] { return Create("b", "r1", "other").ok(); }));
}

TEST_F(EngineSessionTest, ListsInPages) {
  Start();
  for (const char* id : {"c", "a", "d", "b"}) ASSERT_TRUE(Create(id).ok());
  const auto list = [&](std::string tenant, std::string after) {
    std::string ids;
    auto page = Wait<absl::StatusOr<std::vector<SessionInfo>>>(
        [&](auto done) { engine_->ListSessions(tenant, after, 3, done); });
    for (const SessionInfo& info : *page) ids += info.name.session;
    return ids;
  };
  EXPECT_EQ(list("acme", ""), "abc");
  EXPECT_EQ(list("acme", "c"), "d");
  EXPECT_EQ(list("acme", "d"), "");
  EXPECT_EQ(list("acm", ""), "");
  EXPECT_EQ(list("acmf", ""), "");
}

TEST_F(EngineSessionTest, RefusesSettingsAndSessionsBeyondTheLimits) {
  EngineLimits limits = SmallLimits();
  limits.max_sessions = 1;
  Start(limits);
  const auto bad = Wait<absl::StatusOr<SessionInfo>>([&](auto done) {
    engine_->CreateSession(Name("a"), {.window_tokens = 0}, "", std::nullopt, "", "", done);
  });
  EXPECT_EQ(bad.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(bad.status().message()), HasSubstr("window_tokens"));
  ASSERT_TRUE(Create("a").ok());
  EXPECT_EQ(Create("b").status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Fork("a", "b").status().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(EngineSessionTest, DeletingGivesEverythingBack) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  EXPECT_TRUE(Answer(Spec("a", std::string(100, 'x'))).finish.has_value());
  ASSERT_TRUE(Fork("a", "b").ok());
  EXPECT_TRUE(Eventually([&] { return engine_->Stats().sessions == 2; }));
  EXPECT_GT(engine_->Stats().pages_used, 0);
  EXPECT_GT(engine_->Stats().tiles_used, 0);
  ASSERT_TRUE(Delete("a").ok());
  ASSERT_TRUE(Delete("b").ok());
  EXPECT_TRUE(Eventually([&] { return engine_->Stats().sessions == 0; }));
  EXPECT_EQ(engine_->Stats().pages_used, 0);
  EXPECT_EQ(engine_->Stats().tiles_used, 0);
  EXPECT_EQ(engine_->Stats().slots_used, 0);
}

TEST_F(EngineSessionTest, DeleteChecksThePosition) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  Pour("a", "hello");
  const absl::Status status = Delete("a", 4);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("is 4"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("stands at 5"));
  EXPECT_TRUE(Delete("a", 5).ok());
}

TEST_F(EngineSessionTest, AForkHasTheSamePastAndItsOwnFuture) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  Pour("a", std::string(75, 'p'));
  ASSERT_TRUE(Fork("a", "b").ok());
  ASSERT_TRUE(Fork("a", "c").ok());
  const Told a = Answer(Spec("a", "question"));
  EXPECT_EQ(Answer(Spec("b", "question")).text(), a.text());
  EXPECT_NE(Answer(Spec("c", "another")).text(), a.text());
  EXPECT_EQ(Get("b")->position, Get("a")->position);
}

TEST_F(EngineSessionTest, AForkMayAttendOtherwise) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  Pour("a", std::string(300, 'p'));
  const auto fork =
      Fork("a", "b", [](memory::SpanSettings* s) { s->policy = memory::AttentionPolicy::kWindow; });
  ASSERT_TRUE(fork.ok()) << fork.status();
  EXPECT_EQ(fork->settings.policy, memory::AttentionPolicy::kWindow);
  EXPECT_LT(fork->memory_bytes, Get("a")->memory_bytes) << "it keeps no index";
  EXPECT_TRUE(Answer(Spec("b", "q")).finish->passages.empty());
  EXPECT_EQ(Fork("a", "c", [](memory::SpanSettings* s) { s->sink_blocks = -1; }).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(EngineSessionTest, AForkOfABusySessionContinuesAsItsParent) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  model_->Hold();
  auto reader = Generate(Spec("a", "a prompt", 20));
  ASSERT_TRUE(reader.ok());
  model_->Allow(6);
  const Told first = Read(**reader, 5);
  model_->Release();
  ASSERT_TRUE(Fork("a", "b").ok()) << "between two steps";
  const Told rest = Read(**reader);
  ASSERT_TRUE(rest.finish);
  const memory::Position forked_at = Get("b")->position;
  ASSERT_LE(forked_at, rest.finish->position);
  // What the parent said after the fork, the child says too.
  const Told child =
      Answer(Spec("b", "", static_cast<int32_t>(rest.finish->position - forked_at) + 1));
  std::string parent_text = first.text() + rest.text();
  EXPECT_EQ(child.text().substr(0, child.text().size() - 1),
            parent_text.substr(parent_text.size() - (child.text().size() - 1)));
}

TEST_F(EngineSessionTest, AppendedTokensAreAcknowledgedThenComputed) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  model_->Hold();
  auto stream = OpenAppend("a");
  ASSERT_TRUE(stream.ok()) << stream.status();
  EXPECT_EQ(Append(**stream, std::string(40, 'x')).value(), 40);
  const auto second = Wait<absl::StatusOr<memory::Position>>([&](auto done) {
    (*stream)->Append(Ids(std::string(10, 'y')), 40, done);
    model_->Release();
  });
  EXPECT_EQ(second.value(), 50);
  ASSERT_TRUE(Drain(**stream).ok());
  const auto info = Get("a");
  EXPECT_EQ(info->position, 50);
  EXPECT_EQ(info->computed, 50);
  EXPECT_TRUE(info->busy);
  stream->reset();
  EXPECT_TRUE(WaitUntilFree("a"));
  // Cut at multiples of C = 32 and at the borders of appends.
  std::vector<memory::Position> borders;
  for (const auto& step : model_->steps()) {
    for (const auto& chunk : step) borders.push_back(chunk.begin);
  }
  EXPECT_EQ(borders, (std::vector<memory::Position>{0, 32, 40}));
}

TEST_F(EngineSessionTest, AppendReportsProgress) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  absl::Mutex mutex;
  std::vector<memory::Position> computed;
  auto stream = Wait<absl::StatusOr<std::shared_ptr<AppendStream>>>([&](auto done) {
    engine_->OpenAppend(
        Name("a"),
        [&](memory::Position position, memory::Position now) {
          absl::MutexLock lock(&mutex);
          EXPECT_EQ(position, 70);
          computed.push_back(now);
        },
        done);
  });
  ASSERT_TRUE(stream.ok());
  ASSERT_TRUE(Append(**stream, std::string(70, 'x')).ok());
  ASSERT_TRUE(Drain(**stream).ok());
  absl::MutexLock lock(&mutex);
  EXPECT_EQ(computed, (std::vector<memory::Position>{32, 64, 70}));
}

TEST_F(EngineSessionTest, AnAppendThatIsRefusedAddsNothing) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  auto stream = OpenAppend("a");
  ASSERT_TRUE(stream.ok());
  EXPECT_EQ(Append(**stream, "x", 7).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Append(**stream, std::string(100'000, 'x')).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Append(**stream, "abc", 0).value(), 3);
}

TEST_F(EngineSessionTest, ASecondWriterIsAborted) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  auto stream = OpenAppend("a");
  ASSERT_TRUE(stream.ok());
  EXPECT_EQ(OpenAppend("a").status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(Generate(Spec("a", "hi")).status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(Delete("a").code(), absl::StatusCode::kAborted);
  stream->reset();
  EXPECT_TRUE(WaitUntilFree("a"));
  EXPECT_TRUE(Delete("a").ok());
}

TEST_F(EngineSessionTest, ABrokenAppendContinuesAndComputesTheRest) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  ASSERT_TRUE(Create("whole").ok());
  const std::string text(90, 'x');
  Pour("whole", text);
  auto stream = OpenAppend("a");
  model_->Hold();
  ASSERT_TRUE(Append(**stream, text).ok());
  stream->reset();
  model_->Release();
  ASSERT_TRUE(WaitUntilFree("a"));
  EXPECT_EQ(Get("a")->position, 90);
  EXPECT_LT(Get("a")->computed, 90);
  EXPECT_EQ(Answer(Spec("a", "and?")).text(), Answer(Spec("whole", "and?")).text());
}

TEST_F(EngineSessionTest, AStreamMayOutliveTheEngine) {
  Start();
  ASSERT_TRUE(Create("a").ok());
  auto stream = OpenAppend("a");
  ASSERT_TRUE(stream.ok());
  engine_.reset();
  EXPECT_EQ(Append(**stream, "x").status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(Drain(**stream).code(), absl::StatusCode::kCancelled);
}

TEST_F(EngineSessionTest, RefusesLimitsThatMakeNoSense) {
  EngineLimits limits = SmallLimits();
  limits.block_tokens = 20;
  const auto engine = CreateEngine({.model = std::make_unique<FakeModel>(300),
                                    .tokenizer = std::make_unique<FakeTokenizer>(),
                                    .arena = &arena_,
                                    .indexer = &indexer_,
                                    .options = {.limits = limits}});
  EXPECT_EQ(engine.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(engine.status().message()), HasSubstr("block_tokens"));
  const auto small = CreateEngine({.model = std::make_unique<FakeModel>(100),
                                   .tokenizer = std::make_unique<FakeTokenizer>(),
                                   .arena = &arena_,
                                   .indexer = &indexer_,
                                   .options = {.limits = SmallLimits()}});
  EXPECT_THAT(std::string(small.status().message()), HasSubstr("vocab_size is 100"));
}

}  // namespace
}  // namespace eidetic
