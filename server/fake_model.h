// A tokenizer and a model for tests of the edge: they describe themselves and compute nothing.
//
// Thread safety: immutable. Ownership: values. Preconditions: as Tokenizer and HybridModel say.
#ifndef EIDETIC_SERVER_FAKE_MODEL_H_
#define EIDETIC_SERVER_FAKE_MODEL_H_

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"

namespace eidetic {

// One byte is one token; 256 to 259 are the chat form's special tokens.
class FakeChatTokenizer : public Tokenizer {
 public:
  static constexpr TokenId kUser = 256, kAssistant = 257, kSystem = 258, kEnd = 259;
  static constexpr int32_t kVocabulary = 260;

  FakeChatTokenizer();
  // A byte of 0xF8 or more stands for text that is not UTF-8.
  absl::StatusOr<std::vector<TokenId>> Encode(std::string_view text,
                                              bool parse_special) const override;
  std::string_view TokenBytes(TokenId id) const override { return bytes_.at(id); }
  std::string Decode(std::span<const TokenId> ids, bool skip_special) const override;
  bool IsSpecial(TokenId id) const override { return id >= kUser; }
  std::optional<TokenId> AddedTokenId(std::string_view spelling) const override;
  int32_t vocab_size() const override { return kVocabulary; }

 private:
  std::vector<std::string> bytes_;
};

class FakeModel : public HybridModel {
 public:
  FakeModel();
  const ModelDescription& description() const override { return description_; }
  const std::string& content_hash() const override { return hash_; }
  int64_t parameter_count() const override { return 18; }
  memory::MemoryGeometry Geometry(int32_t) const override { return {}; }
  absl::StatusOr<std::shared_ptr<const ModelAdapter>> LoadAdapter(const AdapterWeights&) override {
    return absl::UnimplementedError("a fake");
  }
  void Submit(std::vector<StepChunk>) override {}
  StepResult Await() override { return {}; }

 private:
  ModelDescription description_;
  const std::string hash_ = "ab12";
};

}  // namespace eidetic

#endif  // EIDETIC_SERVER_FAKE_MODEL_H_
