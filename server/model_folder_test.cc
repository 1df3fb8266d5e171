#include "server/model_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

namespace eidetic {
namespace {

namespace fs = std::filesystem;
using ::testing::StartsWith;

class ModelFolderTest : public ::testing::Test {
 protected:
  ModelFolderTest() : root_(fs::path(::testing::TempDir()) / "model_folder_test") {
    fs::remove_all(root_);
    unsetenv("EIDETIC_MODEL");
  }

  fs::path Make(const fs::path& folder) {
    fs::create_directories(root_ / folder);
    std::ofstream(root_ / folder / "config.json") << "{}";
    return root_ / folder;
  }

  std::string Binary() const { return root_ / "bin/eidetic-server"; }

  fs::path root_;
};

TEST_F(ModelFolderTest, WhatIsNamedGoesBeforeWhatIsFound) {
  const fs::path flag = Make("flag"), environment = Make("environment"), beside = Make("bin/model");
  EXPECT_EQ(*FindModelFolder("", Binary()), beside);
  setenv("EIDETIC_MODEL", environment.c_str(), 1);
  EXPECT_EQ(*FindModelFolder("", Binary()), environment);
  EXPECT_EQ(*FindModelFolder(flag, Binary()), flag);
}

TEST_F(ModelFolderTest, TheDemoModelIsFoundInEveryPlaceItCanBe) {
  for (const char* place : {"bin/eidetic-server.runfiles/eidetic/engine/model/demo", "bin/model",
                            "engine/model/demo"}) {
    const fs::path folder = Make(place);
    fs::create_directories(root_ / "bin");
    const auto found = FindModelFolder("", Binary());
    ASSERT_TRUE(found.ok()) << place;
    EXPECT_TRUE(fs::equivalent(*found, folder)) << place;
    fs::remove_all(folder);
  }
}

TEST_F(ModelFolderTest, AFolderWithoutAModelIsRefused) {
  EXPECT_EQ(FindModelFolder("", Binary()).status().code(), absl::StatusCode::kNotFound);
  Make("bin/model");
  const auto wrong = FindModelFolder(root_ / "none", Binary());  // never another one instead
  EXPECT_THAT(std::string(wrong.status().message()), StartsWith("--model: "));
}

TEST_F(ModelFolderTest, TheNameComesFromTheFolderUnlessGiven) {
  EXPECT_EQ(*ModelName("", Make("Bamba-9B.v2") / ""), "models/Bamba-9B.v2");
  EXPECT_EQ(*ModelName("small", root_), "models/small");
  EXPECT_THAT(std::string(ModelName("a/b", root_).status().message()),
              StartsWith("--model_name: "));
  EXPECT_FALSE(ModelName(std::string(64, 'x'), root_).ok());
  EXPECT_FALSE(ModelName("", "/").ok());
}

}  // namespace
}  // namespace eidetic
