#include "engine/scheduler/tenant_book.h"

#include <gtest/gtest.h>

namespace eidetic {
namespace {

class TenantBookTest : public testing::Test {
 protected:
  void Set(const TenantQuota& quota) {
    TenantQuotas quotas;
    quotas.named["acme"] = quota;
    book_.SetQuotas(quotas);
  }
  // After how long the refusal says that it helps to come again.
  static absl::Duration RetryOf(const absl::Status& status) {
    const auto refusal = QuotaRefusalOf(status);
    return refusal ? refusal->retry : absl::ZeroDuration();
  }

  absl::Time now_ = absl::UnixEpoch() + absl::Hours(24 * 20000 + 23);
  TenantBook book_{[this] { return now_; }};
};

TEST_F(TenantBookTest, WhoHasNoQuotaIsNeverRefused) {
  EXPECT_EQ(book_.Charge("acme", 1'000'000'000), absl::OkStatus());
  EXPECT_EQ(book_.CheckPrompt("acme", 1'000'000'000), absl::OkStatus());
  EXPECT_EQ(book_.CheckQueue("acme"), absl::OkStatus());
}

TEST_F(TenantBookTest, TheRefusalTellsExactlyWhenThereAreTokensEnough) {
  Set({.tokens_per_second = 100});
  EXPECT_EQ(book_.Charge("acme", 1000), absl::OkStatus());
  const absl::Status status = book_.Charge("acme", 250);
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_EQ(RetryOf(status), absl::Milliseconds(2500));
  now_ += absl::Milliseconds(2499);
  EXPECT_FALSE(book_.Charge("acme", 250).ok());
  now_ += absl::Milliseconds(1);
  EXPECT_EQ(book_.Charge("acme", 250), absl::OkStatus());
  EXPECT_EQ(book_.Charge("zenith", 250), absl::OkStatus()) << "another tenant's budget";
}

TEST_F(TenantBookTest, WhatWasNotUsedComesBack) {
  Set({.tokens_per_second = 100, .tokens_per_day = 1500});
  EXPECT_EQ(book_.Charge("acme", 1000), absl::OkStatus());
  book_.Refund("acme", 900);
  EXPECT_EQ(book_.Charge("acme", 900), absl::OkStatus());
  EXPECT_FALSE(book_.Charge("acme", 1).ok());
}

TEST_F(TenantBookTest, ARequestAboveTheWholeBudgetIsNotToldToWait) {
  Set({.tokens_per_second = 100});
  EXPECT_EQ(RetryOf(book_.Charge("acme", 1001)), absl::InfiniteDuration());
}

TEST_F(TenantBookTest, TheDayEndsAtMidnight) {
  Set({.tokens_per_day = 1000});
  EXPECT_EQ(book_.Charge("acme", 1000), absl::OkStatus());
  EXPECT_EQ(RetryOf(book_.Charge("acme", 1)), absl::Hours(1));
  now_ += absl::Hours(1);
  EXPECT_EQ(book_.Charge("acme", 1), absl::OkStatus());
}

TEST_F(TenantBookTest, LongPromptsAreRefused) {
  Set({.max_prompt_tokens = 10});
  EXPECT_EQ(book_.CheckPrompt("acme", 10), absl::OkStatus());
  EXPECT_EQ(QuotaRefusalOf(book_.CheckPrompt("acme", 11))->quota, "max_prompt_tokens");
}

TEST_F(TenantBookTest, RestEarnsNothing) {
  TenantBook::Account* const busy = book_.Of("busy");
  TenantBook::Account* const late = book_.Of("late");
  for (int step = 0; step < 100; ++step) {
    book_.BeginStep();
    book_.AtWork(busy);
    book_.Served(busy, 64);
  }
  book_.BeginStep();
  book_.AtWork(busy);
  book_.AtWork(late);
  EXPECT_EQ(busy->served, 6400);
  EXPECT_EQ(late->served, 6400) << "it would hold all places for a hundred steps";
}

TEST_F(TenantBookTest, ABudgetThatIsSpentIsNotForgotten) {
  Set({.tokens_per_second = 100, .tokens_per_day = 1000});
  EXPECT_EQ(book_.Charge("acme", 1000), absl::OkStatus());
  book_.Expire();
  EXPECT_FALSE(book_.Charge("acme", 1).ok());
  now_ += absl::Minutes(30);
  book_.Expire();
  EXPECT_FALSE(book_.Charge("acme", 1).ok()) << "the day's is spent";
}

}  // namespace
}  // namespace eidetic
