#include "clients/cli/attention_options.h"

#include <gmock/gmock.h>

namespace eidetic::cli {
namespace {

using ::testing::ElementsAre;

std::vector<v1::RetrievalRule> Parse(const std::string& list) {
  std::vector<v1::RetrievalRule> rules;
  CLI::App app;
  AddRulesOption(&app, &rules, "");
  app.parse(std::vector<std::string>{list, "--rules"});
  return rules;
}

TEST(RulesOption, TakesAListInItsOrder) {
  EXPECT_THAT(Parse("two-stage,exact"),
              ElementsAre(v1::RETRIEVAL_RULE_TWO_STAGE, v1::RETRIEVAL_RULE_EXACT));
  EXPECT_THAT(Parse("mean,two_stage,pooled,bound"),
              ElementsAre(v1::RETRIEVAL_RULE_MEAN, v1::RETRIEVAL_RULE_TWO_STAGE,
                          v1::RETRIEVAL_RULE_POOLED, v1::RETRIEVAL_RULE_BOUND));
}

TEST(RulesOption, RefusesUnknownAndRepeatedRules) {
  EXPECT_THROW(Parse("exact,guess"), CLI::ParseError);
  EXPECT_THROW(Parse("exact,mean,exact"), CLI::ParseError);
  EXPECT_THROW(Parse("window"), CLI::ParseError);
}

TEST(RuleName, IsThatOfTheOutput) {
  EXPECT_EQ(RuleName(v1::RETRIEVAL_RULE_TWO_STAGE), "two_stage");
  EXPECT_EQ(RuleName(static_cast<v1::RetrievalRule>(99)), "unknown");
}

}  // namespace
}  // namespace eidetic::cli
