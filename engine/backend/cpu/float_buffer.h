// Working memory that grows and is kept.
//
// Thread safety: none; one a thread. Ownership: owns its memory.
// Preconditions: none; running out of memory is fatal.
#ifndef EIDETIC_ENGINE_BACKEND_CPU_FLOAT_BUFFER_H_
#define EIDETIC_ENGINE_BACKEND_CPU_FLOAT_BUFFER_H_

#include <glog/logging.h>

#include <cstddef>

#include "hwy/aligned_allocator.h"

namespace eidetic::cpu {

class FloatBuffer {
 public:
  // At least `count` floats on a cache line's border, contents undefined.
  float* Ensure(size_t count) {
    if (count > size_) {
      data_ = hwy::AllocateAligned<float>(count);
      CHECK(data_ != nullptr) << "no memory for " << count << " floats of working memory";
      size_ = count;
    }
    return data_.get();
  }

 private:
  hwy::AlignedFreeUniquePtr<float[]> data_;
  size_t size_ = 0;
};

}  // namespace eidetic::cpu

#endif  // EIDETIC_ENGINE_BACKEND_CPU_FLOAT_BUFFER_H_
