// The signatures of the Input System that integrations/unity uses; see UnityEngine.cs.
namespace UnityEngine.InputSystem.UI
{
    public class InputSystemUIInputModule : EventSystems.BaseInputModule { }
}
