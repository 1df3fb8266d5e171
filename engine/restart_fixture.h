// An engine with a journal, lost and started again.
//
// Thread safety: one test's thread. Ownership: as EngineTest. Preconditions: as EngineTest.
#ifndef EIDETIC_ENGINE_RESTART_FIXTURE_H_
#define EIDETIC_ENGINE_RESTART_FIXTURE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/engine_fixture.h"

namespace eidetic {

// The parameter: whether the process is lost wherever it may be.
class RestartTest : public EngineTest, public testing::WithParamInterface<bool> {
 protected:
  void SetUp() override {
    std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
    std::replace(name.begin(), name.end(), '/', '_');
    journal_.folder = std::filesystem::path(testing::TempDir()) / name;
    std::filesystem::remove_all(journal_.folder);
  }

  void MaybeRestart() {
    if (GetParam()) Restart();
  }
  void Restart() {
    model_->Release();
    engine_.reset();
    Start();
  }

  static std::vector<TokenId> TokensOf(const Told& told) {
    std::vector<TokenId> tokens;
    for (const TokenEvent& event : told.tokens) tokens.push_back(event.token.token);
    return tokens;
  }
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_RESTART_FIXTURE_H_
