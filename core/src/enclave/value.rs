//! Sealing plain values, and opening them where they are to be.

use bytemuck::{NoUninit, Pod};

use super::{Enclave, Sealed};
use crate::arena::Arena;
use crate::error::{OpenError, SealError};
use crate::owner::Owner;
use crate::secret::Secret;

impl<'a, O: Owner> Enclave<'a, O> {
    /// Seals a value's bytes, like [`seal`](Self::seal). Plain data alone can be sealed: the record of a
    /// value with a pointer in it would be of no use, and the type system refuses it.
    ///
    /// ```
    /// # use core::mem::MaybeUninit;
    /// # use strongroom_core::{Arena, Enclave, Entropy, EntropyError, Secret};
    /// # struct Board;
    /// # impl Entropy for Board {
    /// #     fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
    /// #         bytes.fill(7);
    /// #         Ok(())
    /// #     }
    /// # }
    /// # let mut region = [MaybeUninit::uninit(); 16 * 1024];
    /// # let arena = Arena::new(&mut region[..], &mut Board)?;
    /// # let enclave = Enclave::new(&arena)?;
    /// let key = Secret::<[u64; 4]>::random(&arena)?;
    /// let mut record = [0; Enclave::record_len(size_of::<[u64; 4]>())];
    /// let sealed = enclave.seal_value(&*key.expose_secret(), b"key", &mut record)?;
    ///
    /// let opened: Secret<[u64; 4]> = enclave.open_value(&sealed, b"key")?;
    /// assert!(key.constant_time_eq(&opened.expose_secret()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// ```compile_fail,E0277
    /// # use strongroom_core::Enclave;
    /// # fn seal(enclave: &Enclave<'_>) {
    /// let name = String::from("on the heap");
    /// let _ = enclave.seal_value(&name, b"", [0; 64]);
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`SealError`]; `storage` is then as it was.
    pub fn seal_value<T: NoUninit, S: AsMut<[u8]>>(
        &self,
        value: &T,
        context: &[u8],
        storage: S,
    ) -> Result<Sealed<S>, SealError> {
        self.seal(bytemuck::bytes_of(value), context, storage)
    }

    /// Opens a sealed value into the enclave's arena, in its place: no byte of it is anywhere else.
    ///
    /// # Errors
    /// [`OpenError`], as [`open`](Self::open); and [`OpenError::OtherSize`] if the record is not as long
    /// as a `T`'s.
    pub fn open_value<T: Pod, S: AsRef<[u8]>>(
        &self,
        sealed: &Sealed<S>,
        context: &[u8],
    ) -> Result<Secret<'a, T, O>, OpenError> {
        self.open_value_in(self.arena, sealed, context)
    }

    /// Opens a sealed value into another arena than the enclave's; otherwise as
    /// [`open_value`](Self::open_value).
    ///
    /// # Errors
    /// As for [`open_value`](Self::open_value).
    pub fn open_value_in<'b, T: Pod, S: AsRef<[u8]>, P: Owner>(
        &self,
        arena: &'b Arena<'_, P>,
        sealed: &Sealed<S>,
        context: &[u8],
    ) -> Result<Secret<'b, T, P>, OpenError> {
        let record = self.read(sealed.storage.as_ref())?;
        let (len, size) = (record.ciphertext.len(), size_of::<T>());
        if len != size {
            return Err(OpenError::OtherSize { len, size });
        }
        let mut opened = Secret::<T, P>::zeroed(arena)?;
        self.decrypt(&record, context, bytemuck::bytes_of_mut(&mut *opened.expose_secret_mut()))?;
        Ok(opened)
    }
}
