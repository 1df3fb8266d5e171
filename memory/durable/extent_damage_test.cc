// Extents whose files were changed behind the store's back.

#include <gtest/gtest.h>

#include <fstream>

#include "memory/durable/checksum.h"
#include "memory/durable/extent_format.h"
#include "memory/durable/extent_store.h"
#include "memory/durable/record.h"
#include "memory/durable/test_bytes.h"

namespace eidetic::memory {
namespace {

class ExtentDamageTest : public testing::Test {
 protected:
  void SetUp() override {
    store_ = *ExtentStore::Open(FileSystem::Posix(), folder_, {});
    for (size_t size : {500, 45, 300}) {
      contents_.push_back(RandomBytes(random_, size));
      refs_.push_back(*store_->Append(ExtentKind::kPage, contents_.back()));
    }
    path_ = folder_ / ExtentFileName(refs_[0].file);
    std::ifstream in(path_, std::ios::binary);
    file_.assign(std::istreambuf_iterator<char>(in), {});
    ASSERT_EQ(static_cast<int64_t>(file_.size()), store_->stored_bytes());
  }
  void Put(const std::string& file) {
    std::fstream out(path_, std::ios::binary | std::ios::in | std::ios::out);
    out << file;
    ASSERT_TRUE(out.flush().good());
    std::filesystem::resize_file(path_, file.size());
  }
  // Whether exactly the extents in [begin, end) of the file are refused, the others as written.
  void ExpectLost(int64_t begin, int64_t end) {
    for (size_t i = 0; i < refs_.size(); ++i) {
      Bytes bytes(refs_[i].bytes);
      const absl::Status status = store_->Read(refs_[i], bytes);
      const bool hit = refs_[i].offset < end && refs_[i].offset + Extent(i) > begin;
      ASSERT_EQ(status.code(), hit ? absl::StatusCode::kDataLoss : absl::StatusCode::kOk)
          << "extent " << i << ", change at " << begin << ": " << status;
      if (!hit) {
        ASSERT_EQ(bytes, contents_[i]);
      }
    }
  }
  int64_t Extent(size_t i) const { return ExtentFileBytes(refs_[i].bytes); }

  std::mt19937 random_{8};
  const std::filesystem::path folder_ = FreshFolder() / "extents";
  std::unique_ptr<ExtentStore> store_;
  std::vector<Bytes> contents_;
  std::vector<ExtentRef> refs_;
  std::filesystem::path path_;
  std::string file_;
};

TEST_F(ExtentDamageTest, EveryBitOfHeaderAndPaddingMatters) {
  const int64_t content = refs_[1].offset + kExtentHeaderBytes;
  for (int64_t at = refs_[1].offset; at < refs_[1].offset + Extent(1); ++at) {
    if (at >= content && at < content + refs_[1].bytes) continue;
    for (int bit = 0; bit < 8; ++bit) {
      std::string changed = file_;
      changed[at] ^= 1 << bit;
      Put(changed);
      ExpectLost(at, at + 1);
    }
  }
}

TEST_F(ExtentDamageTest, AnotherFormatIsRefusedByName) {
  std::string changed = file_;
  changed[8] = 2;  // the version of the first header, whose checksum is made to fit
  RecordWriter checksum;
  checksum.Fixed64(Checksum(std::string_view(changed).substr(0, kExtentHeaderBytes - 8)));
  changed.replace(kExtentHeaderBytes - 8, 8, checksum.bytes());
  Put(changed);
  Bytes bytes(refs_[0].bytes);
  const absl::Status status = store_->Read(refs_[0], bytes);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_NE(status.message().find("format 2"), absl::string_view::npos) << status;
}

TEST_F(ExtentDamageTest, TenThousandFlippedBits) {
  for (int i = 0; i < 10000; ++i) {
    const int64_t at = random_() % file_.size();
    std::string changed = file_;
    changed[at] ^= 1 << random_() % 8;
    Put(changed);
    ExpectLost(at, at + 1);
    if (HasFatalFailure()) return;
  }
}

TEST_F(ExtentDamageTest, EveryTruncation) {
  for (int64_t size = 0; size < static_cast<int64_t>(file_.size()); ++size) {
    Put(file_.substr(0, size));
    ExpectLost(size, file_.size());
    if (HasFatalFailure()) return;
  }
}

TEST_F(ExtentDamageTest, EveryTruncationFilledWithZeros) {
  for (int64_t size = 0; size < static_cast<int64_t>(file_.size()); ++size) {
    std::string changed = file_;
    changed.replace(size, std::string::npos, file_.size() - size, '\0');
    Put(changed);
    int64_t begin = size;  // zeros in the place of zeros are no change
    while (begin < static_cast<int64_t>(file_.size()) && file_[begin] == '\0') ++begin;
    ExpectLost(begin, file_.size());
    if (HasFatalFailure()) return;
  }
}

TEST_F(ExtentDamageTest, BytesInsertedOrErasedAnywhere) {
  for (int i = 0; i < 2000; ++i) {
    const int64_t at = random_() % file_.size();
    std::string changed = file_;
    if (random_() % 2) {
      changed.insert(at, 1 + random_() % 64, static_cast<char>(random_()));
    } else {
      changed.erase(at, 1 + random_() % 64);
    }
    Put(changed);
    for (size_t e = 0; e < refs_.size(); ++e) {
      Bytes bytes(refs_[e].bytes);
      if (store_->Read(refs_[e], bytes).ok()) {
        ASSERT_EQ(bytes, contents_[e]);
      } else {
        ASSERT_GT(refs_[e].offset + Extent(e), at) << "an extent before the change";
      }
    }
  }
}

}  // namespace
}  // namespace eidetic::memory
