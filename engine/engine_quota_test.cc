// What a tenant may take of the engine.
#include "engine/engine_fixture.h"

namespace eidetic {
namespace {

class EngineQuotaTest : public EngineTest {
 protected:
  void Begin(const TenantQuota& quota, EngineLimits limits = SmallLimits()) {
    Start(limits);
    TenantQuotas quotas;
    quotas.named["acme"] = quota;
    engine_->SetQuotas(quotas);
  }
  static std::string QuotaOf(const absl::Status& status) {
    const auto refusal = QuotaRefusalOf(status);
    return refusal ? refusal->quota : "";
  }
};

TEST_F(EngineQuotaTest, SessionsAreCountedAndFreedByDeletion) {
  Begin({.max_sessions = 2});
  ASSERT_TRUE(Create("a", "once", "same").ok());
  ASSERT_TRUE(Create("b").ok());
  EXPECT_EQ(QuotaOf(Create("c").status()), "max_sessions");
  EXPECT_EQ(QuotaOf(Fork("a", "c").status()), "max_sessions");
  EXPECT_TRUE(Create("a", "once", "same").ok()) << "a repeated request makes nothing new";
  ASSERT_TRUE(Delete("b").ok());
  EXPECT_TRUE(Create("c").ok());
}

TEST_F(EngineQuotaTest, PromptsAndAnswersCount) {
  Begin({.tokens_per_day = 30});
  ASSERT_TRUE(Create("a").ok());
  const Told told = Answer(Spec("a", "abcd", 20));
  const int64_t used = 4 + static_cast<int64_t>(told.tokens.size());
  EXPECT_EQ(Answer(Spec("a", "", static_cast<int32_t>(30 - used))).error, absl::OkStatus());
  EXPECT_EQ(QuotaOf(Generate(Spec("a", "x", 1)).status()), "tokens_per_day");
}

TEST_F(EngineQuotaTest, APromptAnAppendAndAScoreAreTooLong) {
  Begin({.max_prompt_tokens = 8});
  ASSERT_TRUE(Create("a").ok());
  EXPECT_EQ(QuotaOf(Generate(Spec("a", "123456789")).status()), "max_prompt_tokens");
  auto stream = OpenAppend("a");
  ASSERT_TRUE(stream.ok());
  EXPECT_EQ(QuotaOf(Append(**stream, "123456789").status()), "max_prompt_tokens");
  EXPECT_TRUE(Append(**stream, "12345678").ok());
  EXPECT_EQ(QuotaOf(Score("", "123456789").status()), "max_prompt_tokens");
  EXPECT_EQ(Get("a")->position, 8);
}

TEST_F(EngineQuotaTest, OneTenantCanNotTakeEveryPlace) {
  EngineLimits limits = SmallLimits();
  limits.max_sequences = 3;
  limits.max_tenant_sequences = 2;
  Begin({}, limits);
  std::vector<std::shared_ptr<AppendStream>> held;
  for (const char* id : {"a", "b", "c"}) ASSERT_TRUE(Create(id).ok());
  for (const char* id : {"a", "b"}) {
    auto stream = OpenAppend(id);
    ASSERT_TRUE(stream.ok()) << stream.status();
    held.push_back(*std::move(stream));
  }
  EXPECT_EQ(QuotaOf(OpenAppend("c").status()), "max_tenant_sequences");
  GenerateSpec other = Spec("", "hello");
  other.tenant = "zenith";
  EXPECT_EQ(Answer(other).error, absl::OkStatus());
  held.pop_back();
  EXPECT_TRUE(Eventually([&] { return OpenAppend("c").ok(); }));
}

TEST_F(EngineQuotaTest, MoreThanMayRunWaitAndMoreThanMayWaitAreRefused) {
  Begin({.max_running_requests = 1, .max_queued_requests = 1});
  for (const char* id : {"a", "b", "c"}) ASSERT_TRUE(Create(id).ok());
  auto first = Generate(Spec("a", "abcd", 2000));
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_TRUE(Eventually([&] { return engine_->Stats().running == 1; }));
  auto second = Generate(Spec("b", "abcd", 4));
  ASSERT_TRUE(second.ok()) << second.status();
  const absl::Status third = Generate(Spec("c", "abcd", 4)).status();
  EXPECT_EQ(QuotaOf(third), "max_queued_requests");
  EXPECT_LT(QuotaRefusalOf(third)->retry, absl::InfiniteDuration());
  EXPECT_EQ(engine_->Stats().running, 1);
  first->reset();  // nobody reads it any more: it ends
  EXPECT_EQ(Read(**second).error, absl::OkStatus());
}

TEST_F(EngineQuotaTest, ATierThatIsFullTakesNoMoreWork) {
  Begin({.max_device_bytes = 1});
  ASSERT_TRUE(Create("a").ok());
  EXPECT_EQ(QuotaOf(Generate(Spec("a", "abcd")).status()), "max_device_bytes");
}

}  // namespace
}  // namespace eidetic
