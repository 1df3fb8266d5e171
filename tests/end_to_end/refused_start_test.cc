// Model folders that can not be served: the server says in one line why, soon, and without taking
// the memory that a hostile file asks for.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/end_to_end/server_process.h"

namespace eidetic::testing {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr absl::Duration kSoon = absl::Seconds(2);
constexpr int64_t kPeakBytes = int64_t{256} << 20;
constexpr char kShard[] = "model-00003-of-00003.safetensors";

std::string ReadAll(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

void Write(const fs::path& path, const std::string& bytes) {
  fs::remove(path);  // it is a link into the demo model: do not write through it
  std::ofstream(path, std::ios::binary) << bytes;
}

// A file of zeros after `head` that takes no room on the disk.
void WriteSparse(const fs::path& path, const std::string& head, uint64_t bytes) {
  Write(path, head);
  fs::resize_file(path, bytes);
}

json ReadJson(const fs::path& path) { return json::parse(ReadAll(path)); }

std::string LengthBytes(uint64_t length) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<char>(length >> (8 * i)));
  return bytes;
}

class RefusedStartTest : public ::testing::Test {
 protected:
  RefusedStartTest() {
    folder_ = fs::path(::testing::TempDir()) /
              ::testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::create_directories(folder_);
    for (const auto& entry : fs::directory_iterator(DemoModel())) {
      if (!entry.is_directory()) {
        fs::create_symlink(fs::canonical(entry.path()), folder_ / entry.path().filename());
      }
    }
  }
  ~RefusedStartTest() override { fs::remove_all(folder_); }

  // `hint`: what the line must tell of.
  void ExpectRefused(const std::string& hint) {
    ExpectRefused({"--model=" + folder_.string()}, hint);
  }

  static void ExpectRefused(const std::vector<std::string>& flags, const std::string& hint) {
    const ServerRun run = RunServerToItsEnd(flags, absl::Seconds(30));
    EXPECT_GT(run.exit_code, 0) << run.errors;
    EXPECT_LT(run.time, kSoon);
    EXPECT_LT(run.peak_bytes, kPeakBytes);
    EXPECT_EQ(run.errors.find('\n') + 1, run.errors.size()) << "not one line: " << run.errors;
    EXPECT_EQ(run.errors.rfind("eidetic-server: ", 0), 0u) << run.errors;
    EXPECT_NE(run.errors.find(hint), std::string::npos) << run.errors;
    EXPECT_LT(run.errors.size(), 1000u) << run.errors;
  }

  // Rewrites a shard's header, its data untouched.
  void EditHeader(const std::function<void(json*)>& edit) {
    const std::string bytes = ReadAll(folder_ / kShard);
    uint64_t length = 0;
    for (int i = 7; i >= 0; --i) length = length << 8 | static_cast<uint8_t>(bytes[i]);
    json header = json::parse(bytes.substr(8, length));
    edit(&header);
    const std::string text = header.dump();
    Write(folder_ / kShard, LengthBytes(text.size()) + text + bytes.substr(8 + length));
  }

  void EditJson(const char* file, const std::function<void(json*)>& edit) {
    json value = ReadJson(folder_ / file);
    edit(&value);
    Write(folder_ / file, value.dump());
  }

  fs::path folder_;
};

// The names of the header's tensors, in the order of their data.
std::vector<std::string> TensorNames(const json& header) {
  std::vector<std::string> names;
  for (const auto& [name, value] : header.items()) {
    if (name != "__metadata__") names.push_back(name);
  }
  std::sort(names.begin(), names.end(), [&](const std::string& a, const std::string& b) {
    return header[a]["data_offsets"][0] < header[b]["data_offsets"][0];
  });
  return names;
}

TEST_F(RefusedStartTest, RandomWeightsGoWithAConfigAlone) {
  const std::string config = "--config=" + (folder_ / "config.json").string();
  ExpectRefused({config}, "--config: is for --random_weights alone");
  ExpectRefused({"--random_weights"}, "--config: is empty");
  EditJson("config.json", [](json* value) { (*value)["vocab_size"] = 0; });
  ExpectRefused({"--random_weights", config}, "vocab_size");
}

TEST_F(RefusedStartTest, NoFolder) {
  fs::remove_all(folder_);
  ExpectRefused("--model");
}

TEST_F(RefusedStartTest, AnEmptyFolder) {
  fs::remove_all(folder_);
  fs::create_directory(folder_);
  ExpectRefused("config.json");
}

TEST_F(RefusedStartTest, MissingFiles) {
  for (const char* file : {"tokenizer.json", kShard}) {
    const fs::path target = fs::read_symlink(folder_ / file);
    fs::remove(folder_ / file);
    ExpectRefused(file);
    fs::create_symlink(target, folder_ / file);
  }
}

TEST_F(RefusedStartTest, TruncatedWeights) {
  const std::string bytes = ReadAll(folder_ / kShard);
  for (const size_t size : {size_t{0}, size_t{4}, size_t{8}, size_t{40}, bytes.size() - 1}) {
    Write(folder_ / kShard, bytes.substr(0, size));
    ExpectRefused(kShard);
  }
}

TEST_F(RefusedStartTest, OverlappingTensors) {
  EditHeader([](json* header) {
    const auto names = TensorNames(*header);
    ASSERT_GE(names.size(), 2u);
    const int64_t size = (*header)[names[1]]["data_offsets"][1].get<int64_t>() -
                         (*header)[names[1]]["data_offsets"][0].get<int64_t>();
    (*header)[names[1]]["data_offsets"] = {0, size};
  });
  ExpectRefused(kShard);
}

TEST_F(RefusedStartTest, AHeaderOfHundredsOfMegabytes) {
  for (const uint64_t length : {uint64_t{200'000'000}, ~uint64_t{0}, ~uint64_t{0} >> 1}) {
    WriteSparse(folder_ / kShard, LengthBytes(length), 300'000'000);
    ExpectRefused(kShard);
  }
}

TEST_F(RefusedStartTest, ShapesThatOverflow) {
  constexpr int64_t kHuge = int64_t{1} << 62;
  for (const json& shape : {json{kHuge, 4}, json{kHuge, kHuge, kHuge}, json{-1, -384}, json{1e300},
                            json{18446744073709551615u}}) {
    EditHeader([&](json* header) { (*header)[TensorNames(*header)[0]]["shape"] = shape; });
    ExpectRefused(kShard);
  }
}

TEST_F(RefusedStartTest, WeightsThatDoNotFitTheConfig) {
  EditJson("config.json", [](json* config) { (*config)["intermediate_size"] = 1536; });
  ExpectRefused("shape");
}

TEST_F(RefusedStartTest, ConfigsOfHostileSizes) {
  for (const char* field : {"vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
                            "mamba_d_state", "mamba_n_heads"}) {
    for (const json& value : {json(0), json(-8), json(2147483647), json(1e300), json("many"),
                              json::array({1}), json(nullptr)}) {
      SCOPED_TRACE(field + value.dump());
      const std::string before = ReadAll(folder_ / "config.json");
      EditJson("config.json", [&](json* config) { (*config)[field] = value; });
      ExpectRefused("");
      Write(folder_ / "config.json", before);
    }
  }
}

TEST_F(RefusedStartTest, AConfigThatIsGarbage) {
  for (const std::string& text :
       {std::string(), std::string("\xff\xfe\0\1", 4), std::string("[]"), std::string("{}"),
        std::string("{\"model_type\": \"llama\"}"), std::string(1 << 20, '[')}) {
    Write(folder_ / "config.json", text);
    ExpectRefused("config.json");
  }
  WriteSparse(folder_ / "config.json", "{", uint64_t{1} << 30);
  ExpectRefused("config.json");
}

TEST_F(RefusedStartTest, ATruncatedTokenizer) {
  const std::string text = ReadAll(folder_ / "tokenizer.json");
  for (const size_t size : {size_t{0}, size_t{1}, text.size() / 2, text.size() - 2}) {
    Write(folder_ / "tokenizer.json", text.substr(0, size));
    ExpectRefused("tokenizer.json");
  }
}

TEST_F(RefusedStartTest, MergesThatLeadNowhereOrInCircles) {
  // The parts of the file have an order, which must stay.
  const auto tokenizer = nlohmann::ordered_json::parse(ReadAll(folder_ / "tokenizer.json"));
  for (const json& merge : {json{"a", ""}, json{"", ""}, json{"a", "zzzzzz"}, json{"z", "q"},
                            json{"a"}, json{"a", "b", "c"}, json("a "), json("ab"), json(7)}) {
    SCOPED_TRACE(merge.dump());
    auto broken = tokenizer;
    broken["model"]["merges"][0] = merge;
    Write(folder_ / "tokenizer.json", broken.dump());
    ExpectRefused("model.merges[0]");
  }
  // With the empty string as a token, a merge could make a token of itself, for ever.
  auto circular = tokenizer;
  circular["model"]["vocab"][""] = circular["model"]["vocab"].size();
  circular["model"]["merges"][0] = {"a", ""};
  Write(folder_ / "tokenizer.json", circular.dump());
  ExpectRefused("model.vocab");
}

TEST_F(RefusedStartTest, AHugeTokenizer) {
  WriteSparse(folder_ / "tokenizer.json", "{\"version\": \"", uint64_t{1} << 30);
  ExpectRefused("tokenizer.json");
}

TEST_F(RefusedStartTest, FlagsThatMakeNoSense) {
  for (const char* flag :
       {"--threads=-1", "--max_pages=0", "--device=cuda9", "--block_tokens=17"}) {
    const ServerRun run = RunServerToItsEnd({flag}, absl::Seconds(30));
    EXPECT_EQ(run.exit_code, 1) << flag;
    EXPECT_EQ(run.errors.find('\n') + 1, run.errors.size()) << run.errors;
    EXPECT_NE(run.errors.find("--"), std::string::npos) << run.errors;
  }
}

}  // namespace
}  // namespace eidetic::testing
